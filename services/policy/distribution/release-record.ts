import type { ReleaseState } from "../../../gen/weir/policy/v1/release_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import { appendToOutbox } from "../../shared/database/outbox.ts";
import type { PoolClient } from "../../shared/database/pool.ts";
import { createEventId } from "../../shared/ids.ts";
import { getOrganisation } from "../store/policy-versions.ts";
import type { StoredRelease } from "../store/releases.ts";
import { createRecordFact } from "./facts.ts";

/** A step of a release, for the record. */
export interface ReleaseStepRecord {
  /** As it was before the step; a new one has the state UNSPECIFIED. */
  readonly release: Pick<StoredRelease, "releaseId" | "policyVersion" | "state" | "waves">;
  readonly state: ReleaseState;
  readonly wave: number;
  readonly actor: string;
  readonly requestId?: string;
  readonly reasons?: readonly string[];
  /** "region/instance" of the routers that a wave named. */
  readonly admitted?: readonly string[];
  /** Version of the policy that brought the old content back. */
  readonly rolledBackBy?: bigint;
}

/** Puts a step of a release on record. Call it inside the transaction that takes the step. */
export async function appendReleaseRecord(
  client: PoolClient,
  clock: Clock,
  { release, state, wave, actor, requestId = "", reasons = [], admitted = [], rolledBackBy = 0n }: ReleaseStepRecord,
): Promise<void> {
  const organisation = await getOrganisation(client, release.policyVersion);
  const nowMs = clock.nowMs();
  await appendToOutbox(
    client,
    createRecordFact({
      recordId: createEventId(nowMs),
      at: new Date(nowMs),
      organisation,
      act: {
        case: "releaseChange",
        value: {
          actor,
          requestId,
          releaseId: release.releaseId,
          policyVersion: release.policyVersion,
          before: release.state,
          after: state,
          wave,
          allAtOnce: release.waves.length === 0,
          admitted: [...admitted],
          reasons: [...reasons],
          rolledBackBy,
        },
      },
    }),
  );
}
