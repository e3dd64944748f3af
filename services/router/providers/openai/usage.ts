import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { Quantities } from "../dialect.ts";

/** More tokens than any call can have used; a provider that says more says nothing. */
const MOST_TOKENS = 1_000_000_000;

/**
 * Makes disjoint meters of a `usage` object (https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage).
 * In this dialect cached tokens are among the prompt's and reasoning among the completion's, so they are taken out of them.
 * Undefined when the numbers are missing or make no sense (negative, broken, beyond {@link MOST_TOKENS}), or when they say that
 * an answer with text took no tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasText: () => boolean): Quantities | undefined {
  if (typeof usage !== "object" || usage === null) return undefined;
  const said = usage as Record<string, unknown>;
  const prompt = said.prompt_tokens;
  const completion = said.completion_tokens;
  if (!isCount(prompt) || !isCount(completion)) return undefined;
  if (completion === 0 && hasText()) return undefined;
  const inDetail = toObject(said.prompt_tokens_details);
  const outDetail = toObject(said.completion_tokens_details);
  const cached = Math.min(toCount(inDetail.cached_tokens), prompt);
  const written = Math.min(toCount(inDetail.cache_write_tokens), prompt - cached);
  const reasoning = Math.min(toCount(outDetail.reasoning_tokens), completion);
  return new Map<Meter, number>()
    .set(Meter.INPUT_TOKENS, prompt - cached - written)
    .set(Meter.CACHED_INPUT_TOKENS, cached)
    .set(Meter.CACHE_WRITE_TOKENS, written)
    .set(Meter.OUTPUT_TOKENS, completion - reasoning)
    .set(Meter.REASONING_TOKENS, reasoning);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MOST_TOKENS;
}

function toCount(value: unknown): number {
  return isCount(value) ? value : 0;
}

function toObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
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
