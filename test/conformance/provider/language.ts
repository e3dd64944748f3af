import { type Answer, SIGNATURE } from "./answer.ts";

/** An object of JSON. */
export type Json = Readonly<Record<string, unknown>>;

/** A request as a language's provider understands it. */
export interface Asked {
  /** The provider's name of the model. */
  readonly model: string;
  readonly streamed: boolean;
  /** How many candidates, from 1. */
  readonly candidates: number;
  /** Whether usage was asked for within the stream. */
  readonly wantsUsage: boolean;
  /** Why the real provider would answer 400; undefined when it would answer. */
  readonly complaint: string | undefined;
  /** What was said so far, the same in each language. */
  readonly turns: readonly Turn[];
}

/** One thing that was said, in the order of the request. */
export type Turn =
  | { readonly kind: "system" | "user" | "assistant"; readonly text: string }
  | { readonly kind: "tool use"; readonly id: string; readonly name: string; readonly input: unknown }
  | { readonly kind: "tool result"; readonly id: string; readonly text: string }
  | { readonly kind: "image"; readonly base64: string }
  | { readonly kind: "reasoning"; readonly text: string; readonly signature: string };

/**
 * One event of a stream: `preamble` comes before all content, `content` is what a caller would miss, `closing` comes after it, and
 * `mark` says that the answer is whole.
 */
export interface StreamEvent {
  readonly part: "preamble" | "content" | "closing" | "mark";
  readonly bytes: Buffer;
}

/** An error in place of an answer. */
export interface ErrorAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How a provider of a wire format speaks: what it accepts, and what its answers look like on the wire. */
export interface Language {
  readonly streamType: string;
  /** Understands a request. `path` is decoded; `query` and `headers` are as they came. */
  readAsked(request: AskedRequest): Asked;
  /** An answer in one piece. */
  composeWhole(answer: Answer, asked: Asked): Json;
  /** An answer as a stream, event by event. */
  composeEvents(answer: Answer, asked: Asked): StreamEvent[];
  /** An error with a status of its own. */
  composeError(status: number, retryAfterS: number | undefined): ErrorAnswer;
  /** An error after a stream has begun. */
  composeStreamError(): Buffer;
  /** An event that is not what the format allows. */
  composeMalformed(): Buffer;
}

/** What a language gets to see of a request. */
export interface AskedRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Json;
}

/** A server-sent event. */
export function toEvent(part: StreamEvent["part"], data: unknown, name?: string): StreamEvent {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return { part, bytes: Buffer.from(`${name === undefined ? "" : `event: ${name}\n`}data: ${text}\n\n`) };
}

/** The member as an object; empty when it is none. */
export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

/** The member as objects; empty when it is no list. */
export function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

/** The member as text; empty when it is none. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The input of a tool as JSON; undefined when it is not JSON. */
export function parseInput(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether reasoning stands in the turns that this provider did not sign. */
export function hasForeignSignature(turns: readonly Turn[], isTaken: (signature: string) => boolean): boolean {
  return turns.some((turn) => turn.kind === "reasoning" && turn.signature !== SIGNATURE && !isTaken(turn.signature));
}

/** The first use or result in the turns that has no counterpart, as the real providers complain of it. */
export function findUnansweredTool(turns: readonly Turn[]): string | undefined {
  const open = new Set<string>();
  for (const turn of turns) {
    if (turn.kind === "tool use") open.add(turn.id);
    else if (turn.kind === "tool result" && !open.delete(turn.id))
      return `tool result "${turn.id}" answers no tool use`;
    else if (turn.kind === "user" && open.size > 0) return `tool use "${[...open][0]}" has no result`;
  }
  return open.size > 0 ? `tool use "${[...open][0]}" has no result` : undefined;
}
