/** What a policy would change, before it is published: check → find what it is compared with → compare → tell of the keys there are. */
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Finding, type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { PolicyChange } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { comparePolicies } from "./comparison/compare-policies.ts";
import { checkPolicy } from "./compilation/check-policy.ts";
import { hasError } from "./compilation/finding.ts";
import { decodeGrant } from "./keys/grant.ts";
import { type ChangeParts, refusePolicy } from "./publish.ts";
import { listGrants } from "./store/keyrings.ts";
import { findPolicy, type StoredPolicy } from "./store/policy-versions.ts";

/** What is to be compared. */
export interface DiffRequest {
  readonly policy: Policy;
  /** Version to compare with; 0 for the latest. */
  readonly againstVersion: bigint;
  /** How many changes were told on earlier pages. */
  readonly skip: number;
  /** How many changes to tell at most. */
  readonly limit: number;
}

/** What would change. */
export interface PolicyDiff {
  /** Version compared with; absent when none was published yet. */
  readonly against: StoredPolicy | undefined;
  readonly changes: readonly PolicyChange[];
  /** How many more there are after these. */
  readonly omittedChanges: number;
  /** Warnings. */
  readonly findings: readonly Finding[];
}

/** Grants decoded at one go: a few milliseconds, so that watchers are served between. */
const GRANTS_PAGE = 500;

/** Says what a policy would change, and for whom. Throws POLICY_REFUSED when it has an error, NOT_FOUND for a version that is not there. */
export async function diffPolicy(
  { pool, clock }: Pick<ChangeParts, "pool" | "clock">,
  { policy, againstVersion, skip, limit }: DiffRequest,
  signal?: AbortSignal,
): Promise<PolicyDiff> {
  const findings = checkPolicy(policy);
  if (hasError(findings)) throw refusePolicy("compare policy", findings);
  const against = await findPolicy(pool, againstVersion);
  if (against === undefined && againstVersion !== 0n) {
    throw new WeirError("NOT_FOUND", `Cannot compare policy: there is no version ${againstVersion}`, {
      facts: { version: String(againstVersion) },
    });
  }
  const before = against === undefined ? create(PolicySchema) : fromBinary(PolicySchema, against.content);
  const comparison = comparePolicies(before, policy, clock.nowMs());
  let after: string | undefined;
  do {
    signal?.throwIfAborted();
    const page = await listGrants(pool, { after, limit: GRANTS_PAGE });
    for (const { grant } of page) comparison.takeKey(decodeGrant(grant));
    after = page.length < GRANTS_PAGE ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
  const changes = comparison.list();
  return {
    against,
    changes: changes.slice(skip, skip + limit),
    omittedChanges: Math.max(0, changes.length - skip - limit),
    findings,
  };
}
