import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../dialect.ts";
import { toObject } from "../shape.ts";
import { isTokenCount } from "../token-count.ts";

/**
 * Makes disjoint meters of a `usage` object (https://platform.claude.com/docs/en/api/messages#usage). In this dialect tokens read from
 * the cache and written to it stand beside `input_tokens`, and those of thinking are among `output_tokens`. Undefined when the
 * numbers are missing or make no sense (negative, broken, beyond a billion, nothing read), or when they say that an answer
 * with text took no tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasText: () => boolean): Quantities | undefined {
  const said = toObject(usage);
  const { input_tokens: input, output_tokens: output } = said;
  if (!isTokenCount(input) || !isTokenCount(output)) return undefined;
  const cached = said.cache_read_input_tokens ?? 0;
  const written = said.cache_creation_input_tokens ?? 0;
  if (!isTokenCount(cached) || !isTokenCount(written)) return undefined;
  // Every request has tokens. Servers that only speak like Anthropic may say 0 where they do not know.
  if (input + cached + written === 0) return undefined;
  if (output === 0 && hasText()) return undefined;
  const { thinking_tokens: thinking } = toObject(said.output_tokens_details);
  const reasoning = isTokenCount(thinking) ? Math.min(thinking, output) : 0;
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, input)
    .set(Meter.CACHED_INPUT_TOKENS, cached)
    .set(Meter.CACHE_WRITE_TOKENS, written)
    .set(Meter.OUTPUT_TOKENS, output - reasoning)
    .set(Meter.REASONING_TOKENS, reasoning);
}

/**
 * The usage of a stream so far: that of `message_start` with what the last `message_delta` says in its place. The numbers of
 * `message_delta` are cumulative and are never added; those that it leaves out or says null for stay.
 */
export function mergeUsage(earlier: Record<string, unknown>, later: unknown): Record<string, unknown> {
  const said = Object.entries(toObject(later)).filter(([, value]) => value !== null);
  return { ...earlier, ...Object.fromEntries(said) };
}
