import type { Pool } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { appendLeaves } from "../merkle/append.ts";
import { coverRange } from "../merkle/tree.ts";
import { type Lead, setIntegrated, writeLog } from "../store/log-state.ts";
import { readLeafHashes } from "../store/records.ts";
import { insertSubtrees, readSubtrees } from "../store/subtrees.ts";

/** Most records that one transaction puts into the tree. */
const INTEGRATE_LIMIT = 1000n;

/**
 * Puts the next sequenced records into the stored tree, at most `INTEGRATE_LIMIT`. Returns how many; 0 when the tree is up to
 * date. One transaction: the tree and its size never differ. Throws PROOF_REFUSED when a sequenced record is not there.
 */
export async function integrate(pool: Pool, lead: Lead, signal?: AbortSignal): Promise<bigint> {
  return await writeLog(
    pool,
    lead,
    async (client, { sequenced, integrated }) => {
      if (integrated === sequenced) return 0n;
      const end = sequenced - integrated > INTEGRATE_LIMIT ? integrated + INTEGRATE_LIMIT : sequenced;
      const cover = coverRange(0n, integrated);
      const [{ leafHashes, missing }, hashOf] = await Promise.all([
        readLeafHashes(client, integrated, end),
        readSubtrees(client, cover),
      ]);
      if (missing !== undefined) {
        throw new WeirError("PROOF_REFUSED", `Cannot integrate records: record ${missing} is missing`, {
          facts: { index: String(missing) },
        });
      }
      const { completed } = appendLeaves({ size: integrated, hashes: cover.map(hashOf) }, leafHashes);
      await Promise.all([insertSubtrees(client, completed), setIntegrated(client, end)]);
      return end - integrated;
    },
    signal,
  );
}
