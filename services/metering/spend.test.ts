import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { UsageRecorded } from "../../gen/weir/event/v1/usage_recorded_pb.ts";
import { Meter, OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { createEventIdAt, createUsage, createUsageMessage, createUsages, NOON_MS } from "../../test/usages.ts";
import { ManualClock } from "../shared/clock.ts";
import { migrate } from "../shared/database/migrate.ts";
import { createPool, type Pool, query } from "../shared/database/pool.ts";
import { getWatermark } from "../shared/database/watermark.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { readFacts } from "./fact.ts";
import { type SpendRooms, takeInFacts } from "./spend.ts";
import { querySpend } from "./store/spend.ts";
import { commitIntake, type Intake, type TakenIn } from "./store/usages.ts";

const log = createLog({ service: "test", level: "silent" });
let postgres: TestPostgres;
let pool: Pool;
let taken: TakenIn[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("metering");
  await migrate({ url, directory: `${import.meta.dirname}/store/migrations`, log });
  pool = createPool({ url, log });
}, 60_000);

beforeEach(async () => {
  taken = [];
  await query(pool, "alter table ledger_entry disable trigger ledger_immutable");
  await query(pool, "truncate usage, ledger_entry, spend, parked_fact, producer_cursor, producer_gap");
  await query(pool, "alter table ledger_entry enable trigger ledger_immutable");
});

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

const rooms = (): SpendRooms => ({
  commit: (intake, signal) => commitIntake(pool, intake, signal),
  report: (one) => void taken.push(one),
  clock: new ManualClock(NOON_MS),
});

const takeIn = (usages: readonly UsageRecorded[], message = {}): Promise<void> =>
  takeInFacts(readFacts("eu", createUsageMessage(usages, message)), rooms(), AbortSignal.timeout(20_000));

const count = async (table: string): Promise<bigint> =>
  (await query<{ count: bigint }>(pool, `select count(*) as count from ${table}`))[0]!.count;

const watermark = (boot = "boot-1"): Promise<bigint> => getWatermark(pool, { region: "eu", producer: "eu-1", boot });

const ledger = () =>
  query(pool, "select posting_id, number, account, amount_nanos from ledger_entry order by posting_id, number");
const spend = () => query(pool, "select * from spend order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
const usages = () => query(pool, "select event_id, cost_nanos, outcome, model from usage order by event_id");

/** The sums that must agree with each other, however the usages came. */
async function checkInvariants(): Promise<void> {
  const rows = await query<Record<string, bigint>>(
    pool,
    `select (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry) as balance,
            (select coalesce(sum(cost_nanos), 0)::bigint from usage) as cost,
            (select coalesce(sum(cost_nanos), 0)::bigint from spend) as spend,
            (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry where account like 'spend/%') as charged,
            (select count(*) from usage) as usages, (select coalesce(sum(calls), 0)::bigint from spend) as calls`,
  );
  const sums = rows[0]!;
  expect(sums.balance).toBe(0n);
  expect([sums.spend, sums.charged]).toEqual([sums.cost, sums.cost]);
  expect(sums.calls).toBe(sums.usages);
}

describe("takeInFacts()", () => {
  it("posts a usage: a row, a balanced posting, spend, the watermark", async () => {
    const [usage] = createUsages(1);

    await takeIn([usage!]);

    expect(await usagesOf()).toEqual([usage!.eventId]);
    expect((await ledger()).map(({ account, amount_nanos }) => [account, amount_nanos])).toEqual([
      ["spend/acme/search/assistant/production", 7_500_000n],
      ["provider/openai-eu", -7_500_000n],
    ]);
    expect(await watermark()).toBe(1n);
    await checkInvariants();
  });

  it("keeps a usage that costs nothing, without a posting", async () => {
    await takeIn([createUsage({ attempts: [], outcome: OutcomeKind.FAILED })]);

    expect(await count("usage")).toBe(1n);
    expect(await count("ledger_entry")).toBe(0n);
    await checkInvariants();
  });

  it("changes nothing when usages come again, within a batch, in another batch or after a restart of the router", async () => {
    const batch = createUsages(4);
    await takeIn([...batch, batch[0]!, batch[3]!]);
    const before = [await usages(), await ledger(), await spend()];

    await takeIn(batch.slice().reverse());
    await takeIn([...batch]);
    for (const usage of batch) usage.producer!.boot = "boot-2";
    await takeIn(batch);

    expect([await usages(), await ledger(), await spend()]).toEqual(before);
    expect(taken.at(-1)).toMatchObject({ posted: [], repeated: 4, parked: [] });
    expect([await watermark(), await watermark("boot-2")]).toEqual([4n, 4n]);
    await checkInvariants();
  });

  it("comes to the same in any order, with any repeats, and days late", async () => {
    const batch = [
      ...createUsages(5),
      ...createUsages(5, { first: 6n, endedMs: NOON_MS - 3 * 86_400_000, team: "ads" }),
      ...createUsages(2, { first: 11n, endedMs: NOON_MS - 400 * 86_400_000, model: "o3" }),
    ];
    await takeIn(batch);
    const expected = [await usages(), await ledger(), await spend()];
    const history = fc.array(fc.array(fc.integer({ min: 0, max: 11 }), { minLength: 1, maxLength: 6 }), {
      maxLength: 6,
    });

    await fc.assert(
      fc.asyncProperty(history, async (batches) => {
        await query(pool, "alter table ledger_entry disable trigger ledger_immutable");
        await query(pool, "truncate usage, ledger_entry, spend, producer_cursor, producer_gap");
        await query(pool, "alter table ledger_entry enable trigger ledger_immutable");
        for (const indices of batches) await takeIn(indices.map((index) => batch[index]!));
        await checkInvariants();

        await takeIn(batch);

        expect([await usages(), await ledger(), await spend()]).toEqual(expected);
        expect(await watermark()).toBe(12n);
      }),
      { numRuns: 12 },
    );
  });

  it("keeps two intakes of the same usages at once from posting any twice", async () => {
    const batch = createUsages(50);

    await Promise.all([takeIn(batch), takeIn(batch.slice().reverse()), takeIn(batch.slice(10, 30))]);

    expect(await count("usage")).toBe(50n);
    expect(await watermark()).toBe(50n);
    await checkInvariants();
  });

  it("posts its own number when a router says another, and reports the mismatch", async () => {
    await takeIn([createUsage({ errorNanos: 5n })]);

    expect(await query(pool, "select cost_nanos, said_nanos, mismatched from usage")).toEqual([
      { cost_nanos: 7_500_000n, said_nanos: 7_500_010n, mismatched: true },
    ]);
    expect(taken[0]?.posted[0]?.mismatched).toBe(true);
    await checkInvariants();
  });

  it("keeps the bytes of a usage as they came, fields of a newer router included", async () => {
    const message = createUsageMessage([createUsage()]);
    const [fact] = readFacts("eu", message);

    await takeInFacts([fact!], rooms(), AbortSignal.timeout(20_000));

    const [row] = await query<{ fact: Buffer }>(pool, "select fact from usage");
    expect(Buffer.compare(row!.fact, fact!.bytes)).toBe(0);
  });
});

describe("a fact that cannot be posted", () => {
  it("is parked as it came, with its reason, counts as taken in, and keeps no other from being posted", async () => {
    const batch = createUsages(3);
    batch[1]!.caller!.team = "Not A Team";

    await takeIn(batch);

    expect(await count("usage")).toBe(2n);
    const [parked] = await query(pool, "select kind, producer, boot, seq, event_id, fact from parked_fact");
    expect(parked).toMatchObject({
      kind: "INVALID",
      producer: "eu-1",
      boot: "boot-1",
      seq: 2n,
      event_id: batch[1]!.eventId,
      fact: Buffer.from(readFacts("eu", createUsageMessage(batch))[1]!.bytes),
    });
    expect(await watermark()).toBe(3n);
    expect(taken[0]?.parked).toHaveLength(1);
  });

  it("is parked once, and reported once, however often it comes", async () => {
    const usage = createUsage({ endedMs: NOON_MS + 3_600_000 });

    await takeIn([usage, usage]);
    await takeIn([usage]);

    expect(await count("parked_fact")).toBe(1n);
    expect(taken.map(({ parked }) => parked.length)).toEqual([1, 0]);
  });

  it("may be bytes that are nothing", async () => {
    await takeIn([], { payload: Uint8Array.of(0xff, 0xff), messageId: "eu.eu-1.boot-1.1-3" });

    expect(await query(pool, "select kind, fact from parked_fact")).toEqual([
      { kind: "MALFORMED", fact: Buffer.from([0xff, 0xff]) },
    ]);
    expect(await watermark()).toBe(3n);
  });

  it("of another region is parked and moves no watermark of that region", async () => {
    await takeIn([createUsage({ region: "us", instance: "us-1" })]);

    expect(await query(pool, "select kind, region from parked_fact")).toEqual([{ kind: "REGION", region: "eu" }]);
    expect(await getWatermark(pool, { region: "us", producer: "us-1", boot: "boot-1" })).toBe(0n);
  });

  it("costs more than the ledger can hold", async () => {
    const usage = createUsage();
    usage.attempts[0]!.lines[0]!.quantity = 2n ** 62n;

    await takeIn([usage]);

    expect(await query(pool, "select kind from parked_fact")).toEqual([{ kind: "AMOUNT" }]);
  });

  it("counts more than any call can have, so that it cannot make a sum of spend overflow and shut out what comes after it", async () => {
    const lying = (seq: bigint, quantity: bigint) =>
      createUsage({ seq, attempts: [{ provider: "p", lines: [[Meter.INPUT_TOKENS, quantity, 0n]] }] });

    await takeIn([lying(1n, 2n ** 63n - 1n)]);
    await takeIn([lying(2n, 7n)]);

    expect(await query(pool, "select kind, seq from parked_fact")).toEqual([{ kind: "AMOUNT", seq: 1n }]);
    expect(await query(pool, "select quantity from spend where meter = 1")).toEqual([{ quantity: 7n }]);
  });

  it("contradicts what is posted under its id: the first stays, the second is parked", async () => {
    const eventId = createEventIdAt(NOON_MS);
    const attempts = [{ provider: "p", lines: [[Meter.INPUT_TOKENS, 1n, 1_000_000n]] as const }];
    await takeIn([createUsage({ eventId })]);

    await takeIn([createUsage({ eventId, seq: 2n, attempts }), createUsage({ seq: 3n })]);

    expect(await query(pool, "select kind, event_id from parked_fact")).toEqual([
      { kind: "CONTRADICTION", event_id: eventId },
    ]);
    expect(await count("usage")).toBe(2n);
    expect(await watermark()).toBe(3n);
    await checkInvariants();
  });

  it("contradicts what stands before it in the same intake: the first is posted", async () => {
    const eventId = createEventIdAt(NOON_MS);
    const attempts = [{ provider: "p", lines: [[Meter.INPUT_TOKENS, 1n, 1_000_000n]] as const }];

    await takeIn([createUsage({ eventId, attempts }), createUsage({ eventId, seq: 2n })]);

    expect(await query(pool, "select cost_nanos from usage")).toEqual([{ cost_nanos: 1n }]);
    expect(await query(pool, "select kind from parked_fact")).toEqual([{ kind: "CONTRADICTION" }]);
    await checkInvariants();
  });

  it("is found among a thousand when PostgreSQL refuses it, and the others are posted", async () => {
    const batch = createUsages(1_200);
    const poison = batch[777]!.eventId;
    // A refusal that none of our checks foresees.
    await query(pool, `alter table usage add constraint poison check (event_id <> '${poison}')`);

    await takeIn(batch).finally(() => query(pool, "alter table usage drop constraint poison"));

    expect(await count("usage")).toBe(1_199n);
    expect(await query(pool, "select kind, event_id from parked_fact")).toEqual([
      { kind: "REFUSED", event_id: poison },
    ]);
    expect(await watermark()).toBe(1_200n);
    await checkInvariants();
  });
});

describe("a database that is away", () => {
  it("leaves nothing half done: the facts come again and are posted once", async () => {
    const batch = createUsages(20);
    const dying: SpendRooms = {
      ...rooms(),
      commit: async (intake: Intake, signal) => {
        const result = await commitIntake(pool, intake, signal);
        await postgres.kill();
        // The answer to the commit is lost on its way, as in a crash between commit and acknowledgement.
        await query(pool, "select 1");
        return result;
      },
    };

    const attempt = takeInFacts(readFacts("eu", createUsageMessage(batch)), dying, AbortSignal.timeout(20_000));

    await expect(attempt).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await expect(takeIn(batch)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await postgres.restart();
    await takeIn(batch);
    expect(await count("usage")).toBe(20n);
    expect(await watermark()).toBe(20n);
    await checkInvariants();
  }, 60_000);
});

describe("spend", () => {
  it("adds up across regions, days and providers, and counts meters apart", async () => {
    await takeIn(createUsages(3));

    const [all] = await querySpend(pool, {
      organisation: "acme",
      firstDay: "2026-06-01",
      lastDay: "2026-06-30",
      groupBy: [],
      filters: [],
      limit: 10,
    });

    expect(all).toEqual({
      group: [],
      attempts: 3n,
      calls: 3n,
      meters: [Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS],
      quantities: [3_000n, 1_500n],
      costNanos: 22_500_000n,
    });
  });
});

async function usagesOf(): Promise<unknown[]> {
  return (await usages()).map(({ event_id }) => event_id);
}
