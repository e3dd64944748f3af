import { createPool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { meshOf } from "./contenders/weir.ts";
import type { Exactness } from "./results/run-result.ts";
import { pause, type Setup } from "./setup.ts";

const PAGE = 20_000;
const WAIT_STEPS = 60;

/**
 * Counts what the mesh took in of all that Weir was asked in this run: usages of metering, and the records of these usages in the region's
 * log. Waits a minute for what is still on its way. Undefined when Weir did not run.
 */
export async function checkExactness(setup: Setup): Promise<Exactness | undefined> {
  const standing = meshOf.get(setup);
  if (standing === undefined) return undefined;
  const { mesh } = standing;
  const log = createLog({ service: "bench", level: "silent" });
  const metering = createPool({ url: mesh.databaseUrl("metering"), max: 1, log });
  const audit = createPool({ url: mesh.databaseUrl("audit_eu"), max: 1, log });
  try {
    const chats = await standing.countChats();
    const count = async () =>
      (
        await query<{ usages: string; parked: string }>(
          metering,
          "select (select count(*) from usage) as usages, (select count(*) from parked_fact) as parked",
        )
      )[0];
    let counted = await count();
    for (let step = 0; step < WAIT_STEPS && Number(counted?.usages) < chats; step++) {
      await pause(1_000);
      counted = await count();
    }
    let records = 0;
    for (let last = "00000000-0000-0000-0000-000000000000"; ; ) {
      const ids = await query<{ event_id: string }>(
        metering,
        "select event_id from usage where event_id > $1 order by event_id limit $2",
        [last, PAGE],
      );
      if (ids.length === 0) break;
      const found = await query<{ count: string }>(
        audit,
        "select count(*) as count from record_place where record_id = any($1::uuid[])",
        [ids.map(({ event_id }) => event_id)],
      );
      records += Number(found[0]?.count);
      last = ids[ids.length - 1]?.event_id as string;
    }
    return { chats, usages: Number(counted?.usages), parkedUsages: Number(counted?.parked), records };
  } finally {
    await Promise.all([metering.end(), audit.end()]);
  }
}
