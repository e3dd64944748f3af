/** What a policy would change, before it is published: check → find what it is compared with → list the keys there are → compare. */
import type { Finding } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { PolicyChange } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import type { Pool } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { encodeEntries } from "../shared/snapshot/file.ts";
import { hasError } from "./compilation/finding.ts";
import { type ChangeParts, refusePolicy } from "./publish.ts";
import { listGrants } from "./store/keyrings.ts";
import { findPolicy, type StoredPolicy } from "./store/policy-versions.ts";

/** What is to be compared. */
export interface DiffRequest {
  /** Encoded. */
  readonly policy: Uint8Array;
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
  readonly omittedChanges: bigint;
  /** Warnings. */
  readonly findings: readonly Finding[];
}

/** Grants read at one go: a millisecond or two, so that watchers are served between. */
const GRANTS_PAGE = 500;

/** Says what a policy would change, and for whom. Throws POLICY_REFUSED when it has an error, NOT_FOUND for a version that is not there. */
export async function diffPolicy(
  { pool, clock, worker }: Pick<ChangeParts, "pool" | "clock" | "worker">,
  { policy, againstVersion, skip, limit }: DiffRequest,
  signal?: AbortSignal,
): Promise<PolicyDiff> {
  const findings = await worker.check(policy, signal);
  if (hasError(findings)) throw refusePolicy("compare policy", findings);
  const against = await findPolicy(pool, againstVersion);
  if (against === undefined && againstVersion !== 0n) {
    throw new WeirError("NOT_FOUND", `Cannot compare policy: there is no version ${againstVersion}`, {
      facts: { version: String(againstVersion) },
    });
  }
  const before = against?.content ?? new Uint8Array();
  const keys = await listKeyPages(pool, signal);
  const compared = await worker.compare({ before, after: policy, nowMs: clock.nowMs(), keys, skip, limit }, signal);
  return { against, ...compared, findings };
}

/** The keys there are, in encoded pages. */
async function listKeyPages(pool: Pool, signal?: AbortSignal): Promise<Uint8Array[]> {
  const pages: Uint8Array[] = [];
  let after: string | undefined;
  do {
    signal?.throwIfAborted();
    const page = await listGrants(pool, { after, limit: GRANTS_PAGE });
    pages.push(encodeEntries(page));
    after = page.length < GRANTS_PAGE ? undefined : page.at(-1)?.id;
  } while (after !== undefined);
  return pages;
}
