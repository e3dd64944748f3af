import type { JsonObject } from "@bufbuild/protobuf";
import type { Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";

/**
 * Writes usage as a response has it: cached and written tokens are among the input's, reasoning among the output's
 * (https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage).
 */
export function toResponseUsage({ lines }: Usage): JsonObject {
  const of = (meter: Meter) =>
    lines.reduce((sum, line) => (line.meter === meter ? sum + Number(line.quantity) : sum), 0);
  const cached = of(Meter.CACHED_INPUT_TOKENS);
  const written = of(Meter.CACHE_WRITE_TOKENS);
  const reasoning = of(Meter.REASONING_TOKENS);
  const input = of(Meter.INPUT_TOKENS) + cached + written;
  const output = of(Meter.OUTPUT_TOKENS) + reasoning;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}
