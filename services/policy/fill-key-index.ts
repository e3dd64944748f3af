import type { Pool } from "../shared/database/pool.ts";
import { decodeGrant } from "./keys/grant.ts";
import { indexGrant } from "./keys/index-grant.ts";
import { fillKeys, listUnfilledKeys } from "./store/virtual-keys.ts";

/** So many keys are completed with one statement. */
const BATCH = 1_000;

/**
 * Completes the rows of keys that a build of before the index wrote, so that lists find them by team, app, environment, label and
 * expiry. Again and again while such a build may still be at work; costs one look at an empty index when none is left.
 */
export async function fillKeyIndex(pool: Pool, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const keys = await listUnfilledKeys(pool, BATCH);
    if (keys.length === 0) return;
    await fillKeys(
      pool,
      keys.map(({ grant }) => indexGrant(decodeGrant(grant))),
    );
  }
}
