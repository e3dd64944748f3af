import { create } from "@bufbuild/protobuf";
import type { Prices } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { type Price, PriceSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { parseDollars } from "../../shared/money/money.ts";

/** Each meter with the fields of the policy that price it, the nearest first. In the order of the enum. */
const FIELDS: readonly (readonly [Meter, readonly (keyof Omit<Prices, "$typeName" | "$unknown">)[]])[] = [
  [Meter.INPUT_TOKENS, ["input"]],
  [Meter.CACHED_INPUT_TOKENS, ["cachedInput", "input"]],
  [Meter.CACHE_WRITE_TOKENS, ["cacheWrite", "input"]],
  [Meter.OUTPUT_TOKENS, ["output"]],
  [Meter.REASONING_TOKENS, ["reasoning", "output"]],
];

/** The price of every meter in nano-dollars for a million. Throws ARGUMENT_INVALID for what is not an amount of dollars. */
export function compilePrices(prices: Prices): Price[] {
  return FIELDS.map(([meter, fields]) => {
    const text = fields.map((field) => prices[field]).find((price) => price !== "") ?? "";
    return create(PriceSchema, { meter, nanosPerMillion: parseDollars(text) });
  });
}
