import { Meter } from "../../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../../dialect.ts";
import { toObject } from "../../shape.ts";

/** More tokens than any call can have used; a provider that says more says nothing. */
const MOST_TOKENS = 1_000_000_000;

/**
 * Makes disjoint meters of the `usage` of a response (https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage).
 * Cached tokens are among the input's and reasoning among the output's, so they are taken out of them. Undefined when the numbers
 * are missing or make no sense (negative, broken, beyond {@link MOST_TOKENS}), or when they say that an answer with text took no
 * tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasText: boolean): Quantities | undefined {
  const said = toObject(usage);
  const { input_tokens: input, output_tokens: output } = said;
  if (!isCount(input) || !isCount(output)) return undefined;
  if (output === 0 && hasText) return undefined;
  const inDetail = toObject(said.input_tokens_details);
  const outDetail = toObject(said.output_tokens_details);
  const cached = Math.min(toCount(inDetail.cached_tokens), input);
  const written = Math.min(toCount(inDetail.cache_write_tokens), input - cached);
  const reasoning = Math.min(toCount(outDetail.reasoning_tokens), output);
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, input - cached - written)
    .set(Meter.CACHED_INPUT_TOKENS, cached)
    .set(Meter.CACHE_WRITE_TOKENS, written)
    .set(Meter.OUTPUT_TOKENS, output - reasoning)
    .set(Meter.REASONING_TOKENS, reasoning);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MOST_TOKENS;
}

function toCount(value: unknown): number {
  return isCount(value) ? value : 0;
}
