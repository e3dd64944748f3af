import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../dialect.ts";
import { toObject } from "../shape.ts";
import { isTokenCount } from "../token-count.ts";

/**
 * Makes disjoint meters of a `usage` object (https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage).
 * In this dialect cached tokens are among the prompt's and reasoning among the completion's, so they are taken out of them.
 * Undefined when the numbers are missing or make no sense (negative, broken, beyond a billion), or when they say that
 * an answer with text took no tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasText: () => boolean): Quantities | undefined {
  const said = toObject(usage);
  const { prompt_tokens_details: inDetails, completion_tokens_details: outDetails } = said;
  return toDisjoint({ input: said.prompt_tokens, output: said.completion_tokens, inDetails, outDetails }, hasText);
}

/** Counts as OpenAI's formats have them, under whatever names; details as they came. */
export interface SaidCounts {
  readonly input: unknown;
  readonly output: unknown;
  readonly inDetails: unknown;
  readonly outDetails: unknown;
}

/** Makes disjoint meters of counts in which cached tokens are among those of the input, and reasoning among the output's. */
export function toDisjoint(said: SaidCounts, hasText: () => boolean): Quantities | undefined {
  const { input, output } = said;
  if (!isTokenCount(input) || !isTokenCount(output)) return undefined;
  if (output === 0 && hasText()) return undefined;
  const inDetails = toObject(said.inDetails);
  const cached = Math.min(toCount(inDetails.cached_tokens), input);
  const written = Math.min(toCount(inDetails.cache_write_tokens), input - cached);
  const reasoning = Math.min(toCount(toObject(said.outDetails).reasoning_tokens), output);
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, input - cached - written)
    .set(Meter.CACHED_INPUT_TOKENS, cached)
    .set(Meter.CACHE_WRITE_TOKENS, written)
    .set(Meter.OUTPUT_TOKENS, output - reasoning)
    .set(Meter.REASONING_TOKENS, reasoning);
}

function toCount(value: unknown): number {
  return isTokenCount(value) ? value : 0;
}

/**
 * Whether choices hold something that a caller would miss: a field of their `delta` or `message`, other than the role, that is
 * not empty.
 */
export function hasText(choices: unknown, member: "delta" | "message"): boolean {
  if (!Array.isArray(choices)) return false;
  return choices.some((choice: unknown) =>
    Object.entries(toObject(toObject(choice)[member])).some(([name, value]) => name !== "role" && !isEmpty(value)),
  );
}

function isEmpty(value: unknown): boolean {
  return value === null || value === "" || (Array.isArray(value) && value.length === 0);
}
