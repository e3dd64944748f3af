import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../dialect.ts";
import { toObject } from "../shape.ts";
import { isTokenCount } from "../token-count.ts";

/**
 * Makes meters of a `usage` object (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html). In this
 * format they are disjoint already: the input is without what was read from the cache or written to it. Reasoning is among the
 * output and never told apart. Undefined when the numbers are missing or make no sense (negative, broken, beyond a billion), or
 * when they say that an answer with content took no tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasContent: boolean): Quantities | undefined {
  const { inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens } = toObject(usage);
  if (!isTokenCount(inputTokens) || !isTokenCount(outputTokens)) return undefined;
  if (outputTokens === 0 && hasContent) return undefined;
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, inputTokens)
    .set(Meter.CACHED_INPUT_TOKENS, isTokenCount(cacheReadInputTokens) ? cacheReadInputTokens : 0)
    .set(Meter.CACHE_WRITE_TOKENS, isTokenCount(cacheWriteInputTokens) ? cacheWriteInputTokens : 0)
    .set(Meter.OUTPUT_TOKENS, outputTokens)
    .set(Meter.REASONING_TOKENS, 0);
}
