import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { parseObject } from "../../providers/parse-object.ts";
import { writeMarked } from "../../providers/reasoning-mark.ts";

/** In place of a signature where nobody signed. */
export const UNSIGNED = writeMarked({ signature: "", redacted: "" });

/**
 * Writes a block of an answer; undefined for one that says nothing, for an empty text could not be sent back. A refusal is text, for the
 * stop reason tells it. `fallbackId` is for a tool use that its provider gave no id.
 */
export function toContentBlock({ content }: Block, fallbackId: string): JsonObject | undefined {
  switch (content.case) {
    case "text":
    case "refusal":
      return content.value.text === "" ? undefined : { type: "text", text: content.value.text };
    case "reasoning": {
      const { text, signature, redacted } = content.value;
      if (redacted !== "") return { type: "redacted_thinking", data: redacted };
      if (text === "" && signature === "") return undefined;
      return { type: "thinking", thinking: text, signature: signature === "" ? UNSIGNED : signature };
    }
    case "toolUse": {
      const { id, name, inputJson } = content.value;
      return { type: "tool_use", id: id === "" ? fallbackId : id, name, input: toInput(inputJson) };
    }
    case "image": {
      const { source, mediaType } = content.value;
      if (source.case === "url") return { type: "image", source: { type: "url", url: source.value } };
      const { buffer, byteOffset, byteLength } = source.value ?? new Uint8Array();
      const data = Buffer.from(buffer, byteOffset, byteLength).toString("base64");
      return { type: "image", source: { type: "base64", media_type: mediaType, data } };
    }
    default:
      return undefined;
  }
}

/**
 * The input of a tool as an object. What a model wrote that is none is wrapped, as Anthropic advises for such input
 * (https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming#handling-invalid-json-in-tool-responses).
 */
function toInput(json: string): JsonObject {
  return json === "" ? {} : (parseObject(json) ?? { INVALID_JSON: json });
}

const STOP_REASONS: Readonly<Partial<Record<StopReason, string>>> = {
  [StopReason.STOP_SEQUENCE]: "stop_sequence",
  [StopReason.MAX_OUTPUT_TOKENS]: "max_tokens",
  [StopReason.TOOL_USE]: "tool_use",
  [StopReason.FILTERED]: "refusal",
  [StopReason.REFUSED]: "refusal",
  [StopReason.PAUSED]: "pause_turn",
};

/** Why an answer ended, in the words that clients of Anthropic know. Some providers call it an end when a tool is to be used. */
export function toStopReason(reason: StopReason, usesTool: boolean): string {
  return STOP_REASONS[reason] ?? (usesTool ? "tool_use" : "end_turn");
}

/** The usage as Anthropic counts: cached tokens beside those of the input, thinking among those of the output. */
export function toUsage({ lines }: Usage): JsonObject {
  const count = (meter: Meter) =>
    lines.reduce((sum, line) => (line.meter === meter ? sum + Number(line.quantity) : sum), 0);
  const thinking = count(Meter.REASONING_TOKENS);
  return {
    input_tokens: count(Meter.INPUT_TOKENS),
    cache_creation_input_tokens: count(Meter.CACHE_WRITE_TOKENS),
    cache_read_input_tokens: count(Meter.CACHED_INPUT_TOKENS),
    output_tokens: count(Meter.OUTPUT_TOKENS) + thinking,
    ...(thinking > 0 && { output_tokens_details: { thinking_tokens: thinking } }),
  };
}
