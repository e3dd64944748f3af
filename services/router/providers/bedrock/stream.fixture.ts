import { toEventFrame } from "../../../../test/conformance/provider/event-frame.ts";

/** A frame with an event. */
export function toFrame(type: string, payload: object): Buffer {
  const headers = { ":event-type": type, ":content-type": "application/json", ":message-type": "event" };
  return toEventFrame(headers, Buffer.from(JSON.stringify(payload)));
}

/** A frame with an exception. */
export function toException(type: string, message: string): Buffer {
  const headers = { ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" };
  return toEventFrame(headers, Buffer.from(JSON.stringify({ message })));
}

/** A frame with an error, as AWS's front sends it. */
export function toError(code: string, message: string): Buffer {
  return toEventFrame({ ":message-type": "error", ":error-code": code, ":error-message": message }, Buffer.alloc(0));
}

const delta = (contentBlockIndex: number, value: object, p = "abcdefghijk") =>
  toFrame("contentBlockDelta", { contentBlockIndex, delta: value, p });
const stop = (contentBlockIndex: number) => toFrame("contentBlockStop", { contentBlockIndex, p: "abc" });
const start = (contentBlockIndex: number, toolUseId: string, name: string) =>
  toFrame("contentBlockStart", { contentBlockIndex, start: { toolUse: { toolUseId, name } }, p: "ab" });

/** An answer that reasons, openly and hidden, speaks, and asks for two tools; shaped as Claude's are at Bedrock. */
export const FRAMES: readonly Buffer[] = [
  toFrame("messageStart", { role: "assistant", p: "abcd" }),
  delta(0, { reasoningContent: { text: "Let me " } }),
  delta(0, { reasoningContent: { text: "think 🌊" } }),
  delta(0, { reasoningContent: { signature: "EqQBCgIYAhIkZ+/=" } }),
  stop(0),
  delta(1, { reasoningContent: { redactedContent: "RXRDQg==" } }),
  stop(1),
  delta(2, { text: "Grüße" }),
  delta(2, { text: ", world" }),
  stop(2),
  start(3, "tooluse_1", "weather"),
  delta(3, { toolUse: { input: "" } }),
  delta(3, { toolUse: { input: '{"city": "Mün' } }),
  delta(3, { toolUse: { input: 'chen", "id": 12345678901234567890}' } }),
  stop(3),
  start(4, "tooluse_2", "time"),
  delta(4, { toolUse: { input: "{}" } }),
  stop(4),
  toFrame("messageStop", { stopReason: "tool_use", p: "abcdefghi" }),
  toFrame("metadata", {
    usage: {
      inputTokens: 7,
      outputTokens: 30,
      totalTokens: 142,
      cacheReadInputTokens: 100,
      cacheWriteInputTokens: 5,
      serverToolUsage: {},
    },
    metrics: { latencyMs: 812 },
    p: "abcdefghijklm",
  }),
];

/** Cuts bytes into parts at offsets, in whatever order these are. */
export function cut(bytes: Buffer, offsets: readonly number[]): Buffer[] {
  const points = [...new Set(offsets.map((offset) => offset % bytes.length))].sort((a, b) => a - b);
  return [0, ...points].map((from, at) => Buffer.from(bytes.subarray(from, points[at] ?? bytes.length)));
}
