/**
 * Streams in the shapes that Anthropic documents (https://platform.claude.com/docs/en/build-with-claude/streaming, sections "Event
 * types", "Tool use", "Extended thinking" and "Web search tool use"), as lists of events.
 */

type Event = { readonly type: string; readonly [member: string]: unknown };

const start = (usage: object = {}): Event => ({
  type: "message_start",
  message: {
    id: "msg_01XFDUDYJgAACzvnptvVoYEL",
    type: "message",
    role: "assistant",
    model: "claude-opus-5-5",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: 25,
      cache_creation_input_tokens: 7,
      cache_read_input_tokens: 100,
      output_tokens: 1,
      service_tier: "standard",
      ...usage,
    },
  },
});
const block = (index: number, content_block: object): Event => ({ type: "content_block_start", index, content_block });
const delta = (index: number, kind: string, member: string, value: unknown): Event => ({
  type: "content_block_delta",
  index,
  delta: { type: kind, [member]: value },
});
const text = (index: number, value: string) => delta(index, "text_delta", "text", value);
const json = (index: number, value: string) => delta(index, "input_json_delta", "partial_json", value);
const stop = (index: number): Event => ({ type: "content_block_stop", index });
const end = (stop_reason: string, usage: object): Event[] => [
  { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage },
  { type: "message_stop" },
];

const SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds+/abc123==QwErTyUiOpAsDfGhJkLzXcVbNm0123456789";

/** The events of each stream, by what is in it. */
export const STREAMS = {
  text: [
    start(),
    block(0, { type: "text", text: "" }),
    { type: "ping" },
    text(0, "Grüße "),
    text(0, '🌊 "usage":null'),
    stop(0),
    ...end("end_turn", { output_tokens: 15 }),
  ],
  tools: [
    start(),
    block(0, { type: "text", text: "" }),
    text(0, "Let me look."),
    stop(0),
    block(1, { type: "tool_use", id: "toolu_01T1x1fJ34qAmk2tNTrN7Up6", name: "get_weather", input: {} }),
    json(1, ""),
    json(1, '{"location": "San'),
    json(1, ' Francisco", "station": 12345678901234567890}'),
    stop(1),
    block(2, { type: "tool_use", id: "toolu_02", name: "get_time", input: {} }),
    json(2, ""),
    stop(2),
    ...end("tool_use", { output_tokens: 89 }),
  ],
  thinking: [
    start(),
    block(0, { type: "thinking", thinking: "", signature: "" }),
    delta(0, "thinking_delta", "thinking", "First, "),
    delta(0, "thinking_delta", "thinking", "gcd(1071, 462)."),
    delta(0, "signature_delta", "signature", SIGNATURE),
    stop(0),
    block(1, { type: "redacted_thinking", data: "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw" }),
    stop(1),
    block(2, { type: "text", text: "" }),
    text(2, "21"),
    stop(2),
    // The counts are cumulative, and only the last counts.
    {
      type: "message_delta",
      delta: { stop_reason: null, stop_sequence: null },
      usage: { output_tokens: 20, output_tokens_details: { thinking_tokens: 20 } },
    },
    ...end("end_turn", { output_tokens: 50, output_tokens_details: { thinking_tokens: 40 } }),
  ],
  search: [
    start(),
    block(0, { type: "server_tool_use", id: "srvtoolu_01", name: "web_search", input: {} }),
    json(0, '{"query":'),
    json(0, ' "weather"}'),
    stop(0),
    block(1, {
      type: "web_search_tool_result",
      tool_use_id: "srvtoolu_01",
      content: [{ type: "web_search_result", title: "Weather", url: "https://example.com", encrypted_content: "abc" }],
    }),
    stop(1),
    block(2, { type: "text", text: "", citations: [] }),
    delta(2, "citations_delta", "citation", { type: "web_search_result_location", url: "https://example.com" }),
    text(2, "Sunny."),
    stop(2),
    ...end("end_turn", {
      input_tokens: 900,
      cache_read_input_tokens: null,
      output_tokens: 70,
      server_tool_use: { web_search_requests: 1 },
    }),
  ],
} as const satisfies Readonly<Record<string, readonly Event[]>>;

/** Writes events as they come over the wire. */
export function writeStream(events: readonly Event[], newline: "\n" | "\r\n" = "\n"): string {
  return events
    .map((event) => `event: ${event.type}${newline}data: ${JSON.stringify(event)}${newline}${newline}`)
    .join("");
}

/** Cuts bytes into pieces of the given sizes by turns. */
export function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length]!;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}
