import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { createEventIdAt, NOON_MS } from "../../../test/usages.ts";
import { ManualClock } from "../../shared/clock.ts";
import { migrate } from "../../shared/database/migrate.ts";
import { createPool, type Pool, query } from "../../shared/database/pool.ts";
import { transaction } from "../../shared/database/transaction.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import type { Posting } from "../ledger/posting.ts";
import { insertEntries, listEntries, type StoredEntry } from "./ledger.ts";
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

it("entries of the newest calls are listed first, whenever they were posted, the sides of a posting together, page after page", async () => {
  const [old, late, young] = [
    createPosting([1n, -1n]),
    createPosting([2n, -2n], NOON_MS + 1),
    createPosting([3n, -3n], NOON_MS + 2),
  ];
  for (const posting of [old, young, late]) await insert({ ...posting, organisation: "pages" });

  const first = await listEntries(pool, { organisation: "pages", limit: 3 });
  const second = await listEntries(pool, { organisation: "pages", limit: 3, before: first.at(-1)! });

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
  await query(pool, "drop type usage_20260814");
});

it("the lowest id of an instant sorts below every event of it and above every event before", () => {
  expect(lowestId(NOON_MS) < createEventIdAt(NOON_MS)).toBe(true);
  expect(lowestId(NOON_MS + 1) > createEventIdAt(NOON_MS)).toBe(true);
});

describe("a list over the partitions of months", () => {
  const DAY_MS = 86_400_000;
  const LAST_MS = NOON_MS + 160 * DAY_MS;

  beforeAll(async () => {
    // What is of days before and after stays in the default partition.
    await ensurePartitions(pool, LAST_MS);
  });

  async function readPages(organisation: string, limit: number): Promise<(readonly [string, number])[]> {
    const listed: StoredEntry[] = [];
    for (;;) {
      const last = listed.at(-1);
      const page = await listEntries(pool, { organisation, limit, ...(last && { before: last }) });
      listed.push(...page);
      if (page.length < limit) return listed.map(({ postingId, number }) => [postingId, number]);
    }
  }

  it("has the same pages as one question without bounds, of days with a partition and without one", async () => {
    let histories = 0;
    const days = fc.array(fc.integer({ min: -60, max: 220 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(days, fc.integer({ min: 1, max: 9 }), async (offsets, limit) => {
        histories += 1;
        const organisation = `history-${histories}`;
        const postings = offsets.map((day) => createPosting([5n, -2n, -3n], NOON_MS + day * DAY_MS));
        if (postings.length > 0) await insert(...postings.map((posting) => ({ ...posting, organisation })));

        const pages = await readPages(organisation, limit);

        const rows = await query<{ postingId: string; number: number }>(
          pool,
          `select posting_id as "postingId", number from ledger_entry where organisation = $1 order by posting_id desc, number desc`,
          [organisation],
        );
        expect(pages).toEqual(rows.map(({ postingId, number }) => [postingId, number]));
        for (const { eventId } of postings) {
          const call = await listEntries(pool, { organisation, eventId, limit });
          expect(call.map(({ number }) => number)).toEqual([3, 2, 1].slice(0, limit));
        }
      }),
      { numRuns: 12 },
    );
  });

  it("locks no partitions but those of the days that it looks into", async () => {
    const organisation = "frugal";
    await insert({ ...createPosting([9n, -9n], LAST_MS), organisation });
    const single = createPool({ url: postgres.url("metering"), log, max: 1 });
    onTestFinished(() => single.end());

    await query(single, "begin");
    const page = await listEntries(single, { organisation, limit: 2 });
    const [row] = await query<{ locked: bigint; all: bigint }>(
      single,
      `select count(*) filter (where oid in (select relation from pg_locks where pid = pg_backend_pid())) as locked, count(*) as all
         from pg_class where relname ~ '^ledger_entry_2[0-9]{7}$'`,
    );
    await query(single, "commit");

    expect(page).toHaveLength(2);
    expect(Number(row?.locked)).toBeLessThan(40);
    expect(Number(row?.all)).toBeGreaterThan(100);
  });
});
