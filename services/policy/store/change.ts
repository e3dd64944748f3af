import type { Pool, PoolClient } from "../../shared/database/pool.ts";
import { query } from "../../shared/database/pool.ts";
import { transaction } from "../../shared/database/transaction.ts";

/** Channel on which instances wake each other after a change. */
export const CHANNEL = "weir_policy";

/**
 * Runs a change of policy or keys: one at a time over all instances (advisory lock), in one transaction, and wakes every
 * instance when it commits. Versions that are minted in `fn` therefore rise without a gap.
 */
export async function change<T>(
  pool: Pool,
  fn: (client: PoolClient) => Promise<T>,
  options: { readonly signal?: AbortSignal } = {},
): Promise<T> {
  return await transaction(
    pool,
    async (client) => {
      await query(client, "select pg_advisory_xact_lock(hashtextextended('weir.policy.change', 0))");
      const result = await fn(client);
      await query(client, `notify ${CHANNEL}`);
      return result;
    },
    options,
  );
}
