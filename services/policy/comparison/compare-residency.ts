import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { createChange } from "./change.ts";
import type { Offer, OfferPair } from "./offers.ts";

/** Which regions providers may serve otherwise, and which models that leaves without a target there, or gives one. */
export function compareResidency(before: Policy, after: Policy, offers: OfferPair): PolicyChange[] {
  const old = new Map(before.providers.map((provider) => [provider.id, provider.regions]));
  return after.providers.flatMap(({ id, regions }, index) => {
    const was = old.get(id);
    // A new provider is told of as such, and a region that goes too.
    if (was === undefined) return [];
    const common = { thing: "provider", id, field: `providers[${index}].regions` };
    const lost = was.filter((region) => !regions.includes(region));
    const gained = regions.filter((region) => !was.includes(region));
    return [
      ...group(lost, (region) => listLost(id, offers.before.get(region), offers.after.get(region))).map((facts) =>
        createChange({ ...common, ...facts, kind: ChangeKind.RESIDENCY_NARROWED }),
      ),
      ...group(gained, (region) => listServed(id, offers.after.get(region))).map((facts) =>
        createChange({ ...common, ...facts, kind: ChangeKind.RESIDENCY_WIDENED }),
      ),
    ];
  });
}

/** Regions together for which the same models are concerned. */
function group(
  regions: readonly string[],
  listModels: (region: string) => string[],
): { regions: string[]; models: string[] }[] {
  const byModels = Map.groupBy(regions, (region) => JSON.stringify(listModels(region)));
  return [...byModels].map(([models, together]) => ({ regions: together, models: JSON.parse(models) as string[] }));
}

/** Models that the provider served and that nobody serves any more. */
function listLost(provider: string, before: Offer | undefined, after: Offer | undefined): string[] {
  return listServed(provider, before).filter((model) => !after?.has(model));
}

function listServed(provider: string, offer: Offer | undefined): string[] {
  return [...(offer ?? [])]
    .filter(([, routes]) => [...routes.values()].some((route) => route.provider === provider))
    .map(([model]) => model);
}
