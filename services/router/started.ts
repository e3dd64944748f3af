import { create } from "@bufbuild/protobuf";
import { type PinnedVersions, PinnedVersionsSchema } from "../../gen/weir/type/v1/usage_pb.ts";
import type { PinnedPolicy } from "../shared/snapshot/hold.ts";
import type { StartedCall, StartedRules } from "./accounting/started-call.ts";
import type { Admission } from "./admission/admission.ts";
import type { ChatCall } from "./arrival/call.ts";

/** What accounting is told of a call that begins. `capped` is the call as it goes on, of which rules may have lowered the cap on its output. */
export function toStartedCall(call: ChatCall, capped: ChatCall, admission: Admission): StartedCall {
  const { caller, plan, limits, pinned } = admission;
  const { maxOutputTokens, candidates } = capped;
  return {
    eventId: call.eventId,
    caller,
    endUser: call.endUser,
    operation: call.operation,
    model: plan.model.id,
    streamed: call.streamed,
    surface: call.surface,
    versions: toVersions(pinned),
    startedAtMs: call.arrivedAtMs,
    limits,
    candidates: plan.candidates,
    rejected: plan.rejected,
    rules: pinned.tables.hasRules ? toStartedRules(call, admission) : undefined,
    requestBytes: call.requestBytes,
    maxOutputTokens: maxOutputTokens === undefined ? undefined : maxOutputTokens * BigInt(candidates),
    answers: candidates,
  };
}

function toStartedRules(call: ChatCall, { grant, plan: { rules }, hasTools }: Admission): StartedRules {
  return {
    matched: rules?.matched ?? [],
    askedOutputTokens: call.maxOutputTokens,
    inputBytes: call.requestBytes,
    hasTools,
    labels: grant.labels,
    priorityClass: rules?.priorityClass,
  };
}

function toVersions(pinned: PinnedPolicy): PinnedVersions {
  let versions = versionsOf.get(pinned);
  if (versions === undefined) {
    const { snapshotVersion, snapshotDigest, keyringVersion } = pinned;
    versions = create(PinnedVersionsSchema, { snapshotVersion, snapshotDigest, keyringVersion });
    versionsOf.set(pinned, versions);
  }
  return versions;
}

/** The same for each chat under one policy. */
const versionsOf = new WeakMap<PinnedPolicy, PinnedVersions>();
