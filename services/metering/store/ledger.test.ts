import { afterAll, beforeAll, expect, it } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { createEventIdAt, NOON_MS } from "../../../test/usages.ts";
import { ManualClock } from "../../shared/clock.ts";
import { migrate } from "../../shared/database/migrate.ts";
import { createPool, type Pool, query } from "../../shared/database/pool.ts";
import { transaction } from "../../shared/database/transaction.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import type { Posting } from "../ledger/posting.ts";
import { insertEntries, listEntries } from "./ledger.ts";
import { openStore } from "./open-store.ts";
import { DAYS_AHEAD, ensurePartitions, lowestId } from "./partitions.ts";

const log = createLog({ service: "test", level: "silent" });
let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("metering");
  await migrate({ url, directory: `${import.meta.dirname}/migrations`, log });
  pool = createPool({ url, log });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

function createPosting(amounts: readonly bigint[], timeMs = NOON_MS): Posting {
  const postingId = createEventIdAt(timeMs);
  const entries = amounts.map((amountNanos, index) => ({ account: `account/${index}`, amountNanos }));
  return { postingId, eventId: postingId, organisation: "acme", entries };
}

const insert = (...postings: Posting[]): Promise<void> =>
  transaction(pool, (client) => insertEntries(client, postings));

it("the database refuses a posting that does not add up to zero, and all that came with it", async () => {
  const good = createPosting([5n, -5n]);

  const attempt = insert(good, createPosting([5n, -4n]), createPosting([-4n, 5n]));

  await expect(attempt).rejects.toMatchObject({ facts: { constraint: "ledger_balance" } });
  expect(await listEntries(pool, { organisation: "acme", eventId: good.eventId, limit: 10 })).toEqual([]);
});

it.each(["update ledger_entry set amount_nanos = 1", "delete from ledger_entry", "truncate ledger_entry"])(
  "the database refuses to change the ledger: %s",
  async (statement) => {
    await insert(createPosting([5n, -5n]));

    await expect(query(pool, statement)).rejects.toMatchObject({ facts: { constraint: "ledger_immutable" } });
  },
);

it("entries are listed newest first, the sides of a posting together, page after page", async () => {
  const postings = [createPosting([1n, -1n]), createPosting([2n, -2n]), createPosting([3n, -3n])];
  for (const posting of postings) await insert({ ...posting, organisation: "pages" });

  const first = await listEntries(pool, { organisation: "pages", limit: 4 });
  const before = first.at(-1)!.position;
  const second = await listEntries(pool, { organisation: "pages", limit: 4, before });

  expect([...first, ...second].map(({ amountNanos }) => amountNanos)).toEqual([-3n, 3n, -2n, 2n, -1n, 1n]);
});

it("partitions are made for the days around now, once, and rows find theirs", async () => {
  await ensurePartitions(pool, NOON_MS);
  await ensurePartitions(pool, NOON_MS);
  const [today, late] = [createPosting([9n, -9n]), createPosting([9n, -9n], NOON_MS - 50 * 86_400_000)];
  await insert(today, late);

  const rows = await query(
    pool,
    "select tableoid::regclass::text as place from ledger_entry where posting_id = any($1) and number = 1 order by posting_id",
    [[today.postingId, late.postingId]],
  );
  // Rows of this day were in the default partition before: the day stays there, and nothing fails.
  expect(rows).toEqual([{ place: "ledger_entry_default" }, { place: "ledger_entry_default" }]);
  const partitions = await query(pool, "select relname from pg_class where relname ~ '^ledger_entry_2[0-9]{7}$'");
  expect(partitions).toHaveLength(DAYS_AHEAD + 1);
  const tomorrow = createPosting([9n, -9n], NOON_MS + 86_400_000);
  await insert(tomorrow);
  expect(
    await query(
      pool,
      "select tableoid::regclass::text as place from ledger_entry where posting_id = $1 and number = 1",
      [tomorrow.postingId],
    ),
  ).toEqual([{ place: "ledger_entry_20260616" }]);
});

it("days that passed while nobody made partitions get theirs, so that what comes late does not pile up in the default one", async () => {
  const later = NOON_MS + 30 * 86_400_000;
  const late = createPosting([9n, -9n], NOON_MS + 20 * 86_400_000);

  await ensurePartitions(pool, later);
  await insert(late);

  const rows = await query(pool, "select tableoid::regclass::text as place from ledger_entry where posting_id = $1", [
    late.postingId,
  ]);
  expect(rows[0]).toEqual({ place: "ledger_entry_20260705" });
});

it("a store opens without partitions that cannot be made now: rows go into the default one", async () => {
  const clock = new ManualClock(NOON_MS + 60 * 86_400_000);
  // Stands in for a lock that a backup holds for hours: the name is taken.
  await query(pool, "create type usage_20260814 as enum ()");

  const opening = openStore({
    url: postgres.url("metering"),
    pool,
    clock,
    log,
    signal: AbortSignal.timeout(20_000),
  });

  await expect(opening).resolves.toBeUndefined();
});

it("the lowest id of an instant sorts below every event of it and above every event before", () => {
  expect(lowestId(NOON_MS) < createEventIdAt(NOON_MS)).toBe(true);
  expect(lowestId(NOON_MS + 1) > createEventIdAt(NOON_MS)).toBe(true);
});
