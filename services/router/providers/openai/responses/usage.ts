import type { Quantities } from "../../dialect.ts";
import { toObject } from "../../shape.ts";
import { toDisjoint } from "../usage.ts";

/**
 * Makes disjoint meters of the `usage` of a response (https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage).
 * Cached tokens are among the input's and reasoning among the output's, so they are taken out of them. Undefined when the numbers
 * are missing or make no sense (negative, broken, beyond a billion), or when they say that an answer with text took no
 * tokens: then they are counted instead.
 */
export function readUsage(usage: unknown, hasText: boolean): Quantities | undefined {
  const { input_tokens: input, output_tokens: output, ...said } = toObject(usage);
  const { input_tokens_details: inDetails, output_tokens_details: outDetails } = said;
  return toDisjoint({ input, output, inDetails, outDetails }, () => hasText);
}
