import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../dialect.ts";
import { toObject } from "../shape.ts";
import { isTokenCount } from "../token-count.ts";

/**
 * Makes disjoint meters of `usageMetadata` (https://ai.google.dev/api/generate-content#UsageMetadata). In this dialect the prompt's
 * count holds the cached tokens but not those that its own tools read, and reasoning stands beside the candidates' count, not
 * within. A count of 0 is left out on the wire; a candidates' count that is left out is what the total leaves for it. Undefined when the numbers are missing or
 * make no sense (negative, broken, beyond a billion), or when they say that an answer with text took no tokens: then they
 * are counted instead.
 */
export function readUsage(usage: unknown, hasText: () => boolean): Quantities | undefined {
  const said = toObject(usage);
  const prompt = said.promptTokenCount;
  if (!isTokenCount(prompt)) return undefined;
  const ofTools = readCount(said.toolUsePromptTokenCount);
  const reasoning = readCount(said.thoughtsTokenCount);
  const cached = readCount(said.cachedContentTokenCount);
  const total = readCount(said.totalTokenCount);
  if (ofTools === undefined || reasoning === undefined || cached === undefined || total === undefined) return undefined;
  const output =
    said.candidatesTokenCount === undefined
      ? Math.max(0, total - prompt - ofTools - reasoning)
      : readCount(said.candidatesTokenCount);
  if (output === undefined || (output === 0 && hasText())) return undefined;
  const fromCache = Math.min(cached, prompt);
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, prompt - fromCache + ofTools)
    .set(Meter.CACHED_INPUT_TOKENS, fromCache)
    .set(Meter.CACHE_WRITE_TOKENS, 0)
    .set(Meter.OUTPUT_TOKENS, output)
    .set(Meter.REASONING_TOKENS, reasoning);
}

/** A count that may be left out; undefined when it makes no sense. */
function readCount(value: unknown): number | undefined {
  if (value === undefined || value === null) return 0;
  return isTokenCount(value) ? value : undefined;
}
