import type { Format, RelayedRequest } from "../providers/dialect.ts";
import { JsonScan, watchKeys } from "../providers/json-scan.ts";
import type { ChatCall } from "./call.ts";
import { scanRequest as scanChatCompletions } from "./chat-completions/scan.ts";
import { scanRequest as scanMessages } from "./messages/scan.ts";
import { scanRequest as scanResponses } from "./responses/scan.ts";
import type { ScannedRequest } from "./surface.ts";

/** How a format says the most tokens of an answer. */
interface CapMembers {
  /** The names that it has for it; where none stands there, the first is written. */
  readonly names: readonly [string, ...string[]];
  readonly scan: JsonScan;
  readonly read: (bytes: Buffer) => ScannedRequest;
}

const MEMBERS = new Map<Format, CapMembers>([
  ["chat-completions", createMembers(["max_completion_tokens", "max_tokens"], scanChatCompletions)],
  ["responses", createMembers(["max_output_tokens"], scanResponses)],
  ["messages", createMembers(["max_tokens"], scanMessages)],
]);

function createMembers(names: CapMembers["names"], read: CapMembers["read"]): CapMembers {
  return { names, read, scan: new JsonScan(watchKeys(names)) };
}

/**
 * A call that asks for at most so many tokens of each answer: the same, when it asks for no more; else its request is made to say so,
 * whichever way it will go to a target. A call whose answer has no tokens, such as one for embeddings, asks for 0 already.
 */
export function capOutput(call: ChatCall, cap: bigint): ChatCall {
  const { request, maxOutputTokens } = call;
  if (maxOutputTokens !== undefined && maxOutputTokens <= cap) return call;
  if (request.format !== undefined) return { ...call, request: capRelayed(request, cap), maxOutputTokens: cap };
  const { input } = request;
  if (input.$typeName !== "weir.router.v1.ChatInput") return call;
  return { ...call, request: { format: undefined, input: { ...input, maxOutputTokens: cap } }, maxOutputTokens: cap };
}

function capRelayed(request: RelayedRequest, cap: bigint): RelayedRequest {
  const members = MEMBERS.get(request.format);
  if (members === undefined) throw new Error(`Cannot cap the output of a request of format "${request.format}"`);
  const { bytes } = request;
  const edits = listEdits(members, request, cap);
  if (edits.every(({ start, end, text }) => text.length <= end - start)) {
    for (const { start, end, text } of edits) bytes.write(text.padEnd(end - start), start, "latin1");
    return request;
  }
  // What was found of it stands elsewhere now.
  return members.read(applyEdits(bytes, edits)).request;
}

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

// The bytes were looked through before: they are an object, and each member is there once, as a whole number or null.
function listEdits({ names, scan }: CapMembers, { bytes, modelEnd }: RelayedRequest, cap: bigint): Edit[] {
  scan.scan(bytes, 0, bytes.length);
  const text = String(cap);
  const there = names.flatMap((_, index) => {
    const start = scan.starts[index]!;
    return start < 0 ? [] : [{ start, end: scan.ends[index]!, text }];
  });
  const said = there.filter(({ start }) => bytes[start] !== NULL);
  if (said.length > 0) {
    return said
      .filter(({ start, end }) => Number(bytes.toString("latin1", start, end)) > Number(cap))
      .sort((a, b) => a.start - b.start);
  }
  // Right after the model's value a further member is always well placed.
  const [absent = { start: modelEnd, end: modelEnd, text: `,"${names[0]}":${text}` }] = there;
  return [absent];
}

const NULL = 0x6e;

function applyEdits(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of edits) {
    parts.push(bytes.subarray(at, start), Buffer.from(text));
    at = end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}
