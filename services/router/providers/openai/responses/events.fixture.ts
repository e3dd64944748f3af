/**
 * A streamed response with reasoning, a text and a call of a function, shaped as the reference shows the events
 * (https://platform.openai.com/docs/api-reference/responses-streaming).
 */
export const EVENTS: readonly Record<string, unknown>[] = [
  { type: "response.created", response: { id: "resp_1", object: "response", status: "in_progress", output: [] } },
  { type: "response.in_progress", response: { id: "resp_1", object: "response", status: "in_progress", output: [] } },
  { type: "response.output_item.added", output_index: 0, item: { id: "rs_1", type: "reasoning", summary: [] } },
  {
    type: "response.reasoning_summary_part.added",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    part: { type: "summary_text", text: "" },
  },
  {
    type: "response.reasoning_summary_text.delta",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    delta: "Think ü",
  },
  { type: "response.output_item.done", output_index: 0, item: { id: "rs_1", type: "reasoning", summary: [] } },
  {
    type: "response.output_item.added",
    output_index: 1,
    item: { id: "msg_1", type: "message", status: "in_progress", role: "assistant", content: [] },
  },
  {
    type: "response.content_part.added",
    item_id: "msg_1",
    output_index: 1,
    content_index: 0,
    part: { type: "output_text", text: "", annotations: [] },
  },
  { type: "response.output_text.delta", item_id: "msg_1", output_index: 1, content_index: 0, delta: "Nine " },
  { type: "response.output_text.delta", item_id: "msg_1", output_index: 1, content_index: 0, delta: "metres 🌊" },
  { type: "response.output_text.done", item_id: "msg_1", output_index: 1, content_index: 0, text: "Nine metres 🌊" },
  {
    type: "response.output_item.added",
    output_index: 2,
    item: { id: "fc_1", type: "function_call", call_id: "call_1", name: "measure", arguments: "" },
  },
  { type: "response.function_call_arguments.delta", item_id: "fc_1", output_index: 2, delta: '{"river":"' },
  { type: "response.function_call_arguments.delta", item_id: "fc_1", output_index: 2, delta: 'Elbe"}' },
  {
    type: "response.completed",
    response: {
      id: "resp_1",
      object: "response",
      status: "completed",
      error: null,
      output: [{ id: "msg_1", type: "message", role: "assistant", content: [] }],
      usage: {
        input_tokens: 30,
        input_tokens_details: { cached_tokens: 10 },
        output_tokens: 20,
        output_tokens_details: { reasoning_tokens: 5 },
        total_tokens: 50,
      },
    },
  },
];

/** Bytes of the texts in {@link EVENTS}, as they stand there. */
export const TEXT_BYTES = Buffer.byteLength('Think üNine metres 🌊{\\"river\\":\\"Elbe\\"}');

/** Writes events as a provider does, each with its name and number. */
export function toStream(events: readonly Record<string, unknown>[], lineEnd = "\n"): Buffer {
  const lines = events.flatMap(({ type, ...event }, sequence_number) => [
    `event: ${String(type)}`,
    `data: ${JSON.stringify({ type, sequence_number, ...event })}`,
    "",
  ]);
  return Buffer.from(lines.map((line) => line + lineEnd).join(""));
}
