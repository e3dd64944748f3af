/** Spend for tests with a whole mesh: what metering says, and what stands in its tables. */
import { CALL_OPTIONS, readPages, withClient } from "../cli/control-plane.ts";
import {
  type LedgerEntry,
  type QuerySpendRequest,
  type SpendRow,
  SpendService,
} from "../gen/weir/metering/v1/spend_service_pb.ts";
import { createPool, type Pool, query } from "../services/shared/database/pool.ts";
import { createLog } from "../services/shared/telemetry/log.ts";
import { DEMO_TENANT, type Mesh } from "./mesh.ts";

const organisation = DEMO_TENANT.organisation;

/** Asks for spend of the demo tenant's organisation. */
export async function readSpend(
  mesh: Pick<Mesh, "addresses">,
  question: Partial<Pick<QuerySpendRequest, "groupBy" | "filters">> = {},
): Promise<SpendRow[]> {
  return await withClient(mesh.addresses.metering, SpendService, async (client) => {
    const ask = async (pageToken: string) => {
      const { rows, nextPageToken } = await client.querySpend({ organisation, ...question, pageToken }, CALL_OPTIONS);
      return { items: rows, nextPageToken };
    };
    return await readPages(ask);
  });
}

/** Lists ledger entries of the demo tenant's organisation; those of one call when an id is given. */
export async function readEntries(mesh: Pick<Mesh, "addresses">, eventId = ""): Promise<LedgerEntry[]> {
  return await withClient(mesh.addresses.metering, SpendService, async (client) => {
    const ask = async (pageToken: string) => {
      const page = await client.listLedgerEntries({ organisation, eventId, pageSize: 1_000, pageToken }, CALL_OPTIONS);
      return { items: page.entries, nextPageToken: page.nextPageToken };
    };
    return await readPages(ask);
  });
}

/** Opens the tables of metering. Close it with `end()`. */
export function openLedger(mesh: Pick<Mesh, "databaseUrl">): Pool {
  return createPool({
    url: mesh.databaseUrl("metering"),
    max: 2,
    log: createLog({ service: "test", level: "silent" }),
  });
}

/** The ids of all usages in the ledger, sorted. */
export async function readUsageIds(ledger: Pool): Promise<string[]> {
  const rows = await query<{ event_id: string }>(ledger, "select event_id from usage order by event_id");
  return rows.map(({ event_id }) => event_id);
}

/** What must agree with each other at any instant, whatever has happened; see the invariants in metering's README. */
export interface LedgerSums {
  /** All entries of the ledger: zero. */
  readonly balance: bigint;
  readonly usageCost: bigint;
  readonly spendCost: bigint;
  readonly charged: bigint;
  readonly usages: bigint;
  readonly calls: bigint;
  readonly parked: bigint;
  readonly mismatched: bigint;
}

/** Adds up everything in the ledger. */
export async function readLedgerSums(ledger: Pool): Promise<LedgerSums> {
  const rows = await query<LedgerSums & Record<string, unknown>>(
    ledger,
    `select (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry) as balance,
            (select coalesce(sum(cost_nanos), 0)::bigint from usage) as "usageCost",
            (select coalesce(sum(cost_nanos), 0)::bigint from spend) as "spendCost",
            (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry where account like 'spend/%') as charged,
            (select count(*) from usage) as usages, (select coalesce(sum(calls), 0)::bigint from spend) as calls,
            (select count(*) from parked_fact) as parked, (select count(*) from usage where mismatched) as mismatched`,
  );
  return rows[0]!;
}
