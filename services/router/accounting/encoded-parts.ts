/**
 * What many calls share, encoded once: a caller lives as long as its keyring, versions and targets as long as their snapshot,
 * and their bytes live with them.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type Caller, CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { CallFactsSchema, type MatchedRule, MatchedRuleSchema } from "../../../gen/weir/type/v1/decision_pb.ts";
import { AttemptSchema, type PinnedVersions, PinnedVersionsSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { BilledTarget } from "./started-call.ts";

/** A Caller. */
export const getCallerBytes = remember((caller: Caller) => toBinary(CallerSchema, caller));

/** PinnedVersions. */
export const getVersionsBytes = remember((versions: PinnedVersions) => toBinary(PinnedVersionsSchema, versions));

/** A target as a SnapshotTarget, as far as accounting needs it. */
export const getTargetBytes = remember(({ id, provider, model, prices, maxOutputTokens }: BilledTarget) =>
  toBinary(SnapshotTargetSchema, create(SnapshotTargetSchema, { id, provider, model, prices, maxOutputTokens })),
);

/** The beginning of each Attempt at a target: its id, provider and model. */
export const getAttemptBytes = remember(({ id, provider, model }: BilledTarget) =>
  toBinary(AttemptSchema, create(AttemptSchema, { target: id, provider, providerModel: model })),
);

/** A rule as it bore on a call. */
export const getMatchedRuleBytes = remember((rule: MatchedRule) => toBinary(MatchedRuleSchema, rule));

/** The labels of a key, as the last field of CallFacts: sorted by name. */
export const getLabelsBytes = remember((labels: Readonly<Record<string, string>>) =>
  toBinary(CallFactsSchema, create(CallFactsSchema, { labels: toLabels(labels) })),
);

/** Labels in a list, sorted by name. */
export function toLabels(labels: Readonly<Record<string, string>>): { name: string; value: string }[] {
  return Object.entries(labels)
    .map(([name, value]) => ({ name, value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function remember<T extends object>(encode: (value: T) => Uint8Array): (value: T) => Uint8Array {
  const known = new WeakMap<T, Uint8Array>();
  return (value) => {
    let bytes = known.get(value);
    if (bytes === undefined) {
      bytes = encode(value);
      known.set(value, bytes);
    }
    return bytes;
  };
}
