import { type Policy, PricesSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { parseDollars } from "../../shared/money/money.ts";
import { createChange } from "./change.ts";
import type { Offer } from "./offers.ts";

/** Which targets have other prices, with the models and regions that will use them. "2.5" and "2.50" are the same. */
export function comparePrices(before: Policy, after: Policy, offers: ReadonlyMap<string, Offer>): PolicyChange[] {
  const old = new Map(before.targets.map((target) => [target.id, target.prices]));
  return after.targets.flatMap(({ id, prices }, index) => {
    const was = old.get(id);
    if (was === undefined || prices === undefined) return [];
    return PricesSchema.fields.flatMap(({ name, localName }) => {
      const key = localName as "input" | "output";
      if (isSamePrice(was[key], prices[key])) return [];
      return createChange({
        kind: ChangeKind.PRICE_CHANGED,
        thing: "target",
        id,
        attribute: name,
        field: `targets[${index}].prices.${name}`,
        before: was[key],
        after: prices[key],
        ...findUse(id, offers),
      });
    });
  });
}

function isSamePrice(a: string, b: string): boolean {
  return a === b || (a !== "" && b !== "" && parseDollars(a) === parseDollars(b));
}

function findUse(target: string, offers: ReadonlyMap<string, Offer>): { models: string[]; regions: string[] } {
  const models = new Set<string>();
  const regions: string[] = [];
  for (const [region, offer] of offers) {
    const using = [...offer].filter(([, routes]) => routes.has(target));
    if (using.length > 0) regions.push(region);
    for (const [model] of using) models.add(model);
  }
  return { models: [...models], regions };
}
