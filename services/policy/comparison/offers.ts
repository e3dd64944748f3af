import { fromBinary } from "@bufbuild/protobuf";
import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { compileSnapshot } from "../compilation/compile.ts";

/** How a target serves a model. */
export interface OfferedRoute {
  readonly provider: string;
  /** The lower, the earlier it is tried. */
  readonly priority: number;
  readonly weight: number;
}

/** What a region offers: its models by id, each with its routes by target. */
export type Offer = ReadonlyMap<string, ReadonlyMap<string, OfferedRoute>>;

/** What each region offers under a policy, as the routers of the region would have it: of the compiled snapshots. By region. */
export function listOffers(policy: Policy): Map<string, Offer> {
  return new Map(policy.regions.map(({ id }) => [id, readOffer(policy, id)]));
}

function readOffer(policy: Policy, region: string): Offer {
  const { content } = compileSnapshot(policy, { region, version: 1n, policyVersion: 1n });
  const { models, targets } = fromBinary(SnapshotSchema, content);
  const providers = new Map(targets.map(({ id, provider }) => [id, provider]));
  return new Map(
    models.map(({ id, routes }) => [
      id,
      new Map(
        routes.map(({ target, priority, weight }) => [
          target,
          { provider: providers.get(target) ?? "", priority, weight },
        ]),
      ),
    ]),
  );
}

/** What the regions offer before and after. */
export interface OfferPair {
  readonly before: ReadonlyMap<string, Offer>;
  readonly after: ReadonlyMap<string, Offer>;
}

/** Every region of before or after, in that order. */
export function listRegions({ before, after }: OfferPair): string[] {
  return [...new Set([...before.keys(), ...after.keys()])];
}
