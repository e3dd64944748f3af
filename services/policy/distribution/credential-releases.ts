import { create } from "@bufbuild/protobuf";
import {
  type WatchCredentialsResponse,
  WatchCredentialsResponseSchema,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import type { Pool } from "../../shared/database/pool.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { findCredentialSet, listSetVersions } from "../store/credential-sets.ts";

/** A region's set of credentials as it is sent to all who watch. */
export interface CredentialRelease {
  readonly version: bigint;
  readonly digest: Uint8Array;
  readonly piece: WatchCredentialsResponse;
}

/** The sets by region. */
export type CredentialReleases = ReadonlyMap<string, CredentialRelease>;

/**
 * Reads the sets that changed since `known` was read; returns `known` itself when none did. A set that was damaged, or that is older than
 * what was distributed, is passed over with a line in the log: routers would refuse it.
 */
export async function readCredentialReleases(
  pool: Pool,
  known: CredentialReleases,
  log: Log,
): Promise<CredentialReleases> {
  const changed: [string, CredentialRelease][] = [];
  for (const { region, version } of await listSetVersions(pool)) {
    const before = known.get(region);
    if (before?.version === version) continue;
    const facts = { region, version: String(version), before: String(before?.version ?? 0n) };
    if (before !== undefined && version < before.version) {
      log.error(facts, "The database has older credentials than were distributed; keeping the newer ones");
      continue;
    }
    const set = await findCredentialSet(pool, region);
    if (set === undefined || Buffer.compare(snapshotDigest(set.content), set.digest) !== 0) {
      log.error(facts, "The credentials of a region were damaged in the database; keeping those read before");
      continue;
    }
    const piece = create(WatchCredentialsResponseSchema, {
      piece: { case: "delivery", value: { content: set.content, note: set.head } },
    });
    // It may be a version later than the one that was listed.
    changed.push([region, { version: set.version, digest: set.digest, piece }]);
    log.info({ region, version: String(set.version) }, "Distributing credentials");
  }
  return changed.length === 0 ? known : new Map([...known, ...changed]);
}
