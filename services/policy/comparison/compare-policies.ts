/** What a policy would change, and for whom: of the document, of what regions offer, of what tenants may do. */
import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { compareFields } from "./compare-fields.ts";
import { compareLimits } from "./compare-limits.ts";
import { compareOffers } from "./compare-offers.ts";
import { comparePrices } from "./compare-prices.ts";
import { compareResidency } from "./compare-residency.ts";
import { compareRules } from "./compare-rules.ts";
import { compareTenants, listChangedModels } from "./compare-tenants.ts";
import { KeyTally } from "./key-tally.ts";
import { listOffers } from "./offers.ts";

/** A comparison that is to be told which keys there are. */
export interface Comparison {
  /** Counts a key, so that its tenant is told of. */
  takeKey(grant: KeyGrant): void;
  /** All changes, in words. Empty when nothing would be otherwise. */
  list(): PolicyChange[];
}

/** Compares two policies that passed their check, at an instant that says which keys have expired. */
export function comparePolicies(before: Policy, after: Policy, nowMs: number): Comparison {
  const offers = { before: listOffers(before), after: listOffers(after) };
  const keys = new KeyTally(listChangedModels(offers));
  return {
    takeKey: (grant) => keys.take(grant, nowMs),
    list: () => [
      ...compareFields(before, after),
      ...compareResidency(before, after, offers),
      ...comparePrices(before, after, offers.after),
      ...compareLimits(before, after, keys),
      ...compareRules(before, after, keys),
      ...compareOffers(after, offers),
      ...compareTenants(before, after, offers, keys.list()),
    ],
  };
}
