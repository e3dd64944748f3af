import type { Turn } from "../provider/language.ts";

/** The surfaces through which chats are asked. */
export type CallerName =
  | "chat-completions"
  | "responses"
  | "messages"
  | "grpc"
  | "chat-completions-2"
  | "embeddings"
  | "count-tokens";

/** What is asked, the same in each format. */
export interface Ask {
  readonly model: string;
  readonly streamed: boolean;
  readonly turns: readonly Turn[];
  /** Whether the tools `lookup` and `measure` are offered. Default false. */
  readonly hasTools?: boolean;
}

/** A call of a tool in an answer. */
export interface SeenTool {
  readonly id: string;
  readonly name: string;
  /** As JSON text, joined. */
  readonly input: string;
}

/** What a caller makes of an answer, as its official client would. */
export interface Seen {
  /** HTTP status; 0 when no head came. gRPC: always 200. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  readonly tools: readonly SeenTool[];
  readonly reasoning: readonly { readonly text: string; readonly signature: string }[];
  readonly refusal: string;
  /** In the format's own word; empty when none came. */
  readonly stop: string;
  /** Tokens in and out, cached and reasoning ones among them; undefined when none were said. */
  readonly usage: { readonly input: number; readonly output: number } | undefined;
  /** The error, in place of an answer or at the end of a stream. */
  readonly error: SeenError | undefined;
  /** Whether the answer was said to be complete in the format's own way. */
  readonly hasMark: boolean;
  /** Whether the body ended as HTTP says that a whole one ends. */
  readonly isClean: boolean;
}

/** What is seen of an answer of which nothing came. */
export const NO_CONTENT = {
  text: "",
  tools: [],
  reasoning: [],
  refusal: "",
  stop: "",
  usage: undefined,
  error: undefined,
  hasMark: false,
} as const satisfies Partial<Seen>;

/** An error as a client of the format raises it. */
export interface SeenError {
  readonly type: string;
  readonly message: string;
}

/** Asks in one format. */
export interface Caller {
  readonly name: CallerName;
  /**
   * Never rejects for what the gateway answers or leaves out: that is what is seen. Rejects when the signal is aborted. `onContent` is
   * called with each piece of a stream that comes.
   */
  ask(gateway: Gateway, ask: Ask, signal: AbortSignal, onContent?: () => void): Promise<Seen>;
}

/** The gateway that is asked. */
export interface Gateway {
  /** Without a path. */
  readonly origin: string;
  readonly key: string;
  /** Headers that it wants beside the key. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Whether the official client would hand this on as a whole answer: there was no error, and either the format's mark of the end was
 * there or the body just ended, which the loops of those clients take for an end as well.
 */
export function looksWhole({ status, error, hasMark, isClean }: Seen): boolean {
  return status === 200 && error === undefined && (hasMark || isClean);
}

/** A prompt. */
export function say(text: string): Turn[] {
  return [{ kind: "user", text }];
}

/** Schemas of the tools that are offered. */
export const TOOLS = [
  {
    name: "lookup",
    description: "Looks something up",
    schema: { type: "object", properties: { question: { type: "string" } }, required: ["question"] },
  },
  {
    name: "measure",
    description: "Measures a depth",
    schema: { type: "object", properties: { metres: { type: "number" } }, required: ["metres"] },
  },
] as const;

/** The most tokens that each question allows: a format must name one, the others name the same. */
export const MAX_TOKENS = 500;
