import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { CheckPolicyResponseSchema, DiffPolicyResponseSchema } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { KeyringPageSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { comparePolicies } from "../comparison/compare-policies.ts";
import { checkPolicy } from "../compilation/check-policy.ts";
import { type CompiledSnapshot, type CompileOptions, compileSnapshot } from "../compilation/compile.ts";
import { decodeGrant } from "../keys/grant.ts";

/** What a comparison is made of. Both policies have passed their check. */
export interface CompareWork {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** Says which keys have expired: milliseconds since 1970. */
  readonly nowMs: number;
  /** The keys there are: encoded KeyringPages. */
  readonly keys: readonly Uint8Array[];
  /** How many changes to leave out. */
  readonly skip: number;
  /** How many changes to tell at most. */
  readonly limit: number;
}

/** Work on whole policies. They are encoded, and so are results, since all of it travels between threads. */
export type PolicyWork =
  | { readonly act: "check"; readonly policy: Uint8Array }
  | { readonly act: "compile"; readonly policy: Uint8Array; readonly snapshots: readonly CompileOptions[] }
  | ({ readonly act: "compare" } & CompareWork);

/** What comes of each. */
export interface PolicyWorkResults {
  /** A CheckPolicyResponse. */
  readonly check: Uint8Array;
  readonly compile: readonly CompiledSnapshot[];
  /** A DiffPolicyResponse with its changes and how many are left out after them. */
  readonly compare: Uint8Array;
}

/** Does the work at one go: with thousands of models it takes hundreds of milliseconds. Throws what checking, compiling and comparing throw. */
export function doPolicyWork(work: PolicyWork): PolicyWorkResults[PolicyWork["act"]] {
  switch (work.act) {
    case "check": {
      const findings = checkPolicy(fromBinary(PolicySchema, work.policy));
      return toBinary(CheckPolicyResponseSchema, create(CheckPolicyResponseSchema, { findings }));
    }
    case "compile": {
      const policy = fromBinary(PolicySchema, work.policy);
      return work.snapshots.map((options) => compileSnapshot(policy, options));
    }
    case "compare":
      return compare(work);
  }
}

function compare({ before, after, nowMs, keys, skip, limit }: CompareWork): Uint8Array {
  const comparison = comparePolicies(fromBinary(PolicySchema, before), fromBinary(PolicySchema, after), nowMs);
  for (const page of keys) {
    for (const { grant } of fromBinary(KeyringPageSchema, page).entries) comparison.takeKey(decodeGrant(grant));
  }
  const all = comparison.list();
  const changes = all.slice(skip, skip + limit);
  const omittedChanges = BigInt(Math.max(0, all.length - skip - limit));
  return toBinary(DiffPolicyResponseSchema, create(DiffPolicyResponseSchema, { changes, omittedChanges }));
}
