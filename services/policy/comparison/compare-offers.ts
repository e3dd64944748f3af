import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { type ChangeFacts, createChange } from "./change.ts";
import { listRegions, type Offer, type OfferedRoute, type OfferPair } from "./offers.ts";

/** What callers of regions may ask for otherwise, and which targets serve it otherwise; the same in several regions is told once. */
export function compareOffers(after: Policy, offers: OfferPair): PolicyChange[] {
  const found = new Map<string, ChangeFacts & { regions: string[] }>();
  const positions = new Map(after.models.map(({ id }, index) => [id, index]));
  for (const region of listRegions(offers)) {
    const [old, now] = [offers.before.get(region) ?? new Map(), offers.after.get(region) ?? new Map()] as [
      Offer,
      Offer,
    ];
    for (const facts of compareRegion(old, now)) {
      const key = JSON.stringify(facts);
      const known = found.get(key);
      if (known !== undefined) known.regions.push(region);
      else {
        const position = positions.get(facts.id ?? "");
        const field = position === undefined ? "" : `models[${position}].routes`;
        found.set(key, { ...facts, field, regions: [region] });
      }
    }
  }
  return [...found.values()].map(createChange);
}

function compareRegion(before: Offer, after: Offer): ChangeFacts[] {
  const facts: ChangeFacts[] = [];
  for (const [id, routes] of before) {
    const now = after.get(id);
    if (now === undefined) facts.push({ kind: ChangeKind.MODEL_WITHDRAWN, thing: "model", id, models: [id] });
    else facts.push(...compareRoutes(id, routes, now));
  }
  for (const id of after.keys()) {
    if (!before.has(id)) facts.push({ kind: ChangeKind.MODEL_OFFERED, thing: "model", id, models: [id] });
  }
  return facts;
}

type Routes = ReadonlyMap<string, OfferedRoute>;

function compareRoutes(id: string, before: Routes, after: Routes): ChangeFacts[] {
  const facts: ChangeFacts[] = [];
  const common = { thing: "model", id, models: [id] };
  for (const [target, route] of before) {
    const now = after.get(target);
    const was = describeRoute(route, before);
    if (now === undefined) {
      facts.push({ ...common, kind: ChangeKind.ROUTE_CLOSED, attribute: target, before: was });
      continue;
    }
    const is = describeRoute(now, after);
    // Other numbers that come to the same are no change.
    if (was !== is)
      facts.push({ ...common, kind: ChangeKind.ROUTE_CHANGED, attribute: target, before: was, after: is });
  }
  for (const [target, route] of after) {
    if (before.has(target)) continue;
    facts.push({ ...common, kind: ChangeKind.ROUTE_OPENED, attribute: target, after: describeRoute(route, after) });
  }
  return facts;
}

/** What a route is among those of its region: "first choice", "fallback 1 for 3 of 4 calls". */
function describeRoute({ priority, weight }: OfferedRoute, routes: Routes): string {
  const all = [...routes.values()];
  const rank = new Set(all.filter((route) => route.priority < priority).map((route) => route.priority)).size;
  const beside = all.filter((route) => route.priority === priority);
  const place = rank === 0 ? "first choice" : `fallback ${rank}`;
  const total = beside.reduce((sum, route) => sum + route.weight, 0);
  return beside.length === 1 ? place : `${place} for ${weight} of ${total} calls`;
}
