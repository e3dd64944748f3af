import { create } from "@bufbuild/protobuf";
import { Code, type ConnectRouter, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { IntakeService } from "../../gen/weir/metering/v1/intake_service_pb.ts";
import { Dimension, QuerySpendRequestSchema, SpendService } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { createUsageMessage, createUsages, NOON_MS, type UsageOptions } from "../../test/usages.ts";
import { createTestAccessInterceptor } from "../shared/authority/authority.fixture.ts";
import { ManualClock } from "../shared/clock.ts";
import { migrate } from "../shared/database/migrate.ts";
import { createPool, type Pool } from "../shared/database/pool.ts";
import { toConnectError } from "../shared/errors/wire.ts";
import { createErrorInterceptor } from "../shared/mesh/interceptors.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { getValidator } from "../shared/validation/validator.ts";
import { readFacts } from "./fact.ts";
import { createIntakeService } from "./intake-service.ts";
import { takeInFacts } from "./spend.ts";
import { createSpendService } from "./spend-service.ts";
import { commitIntake } from "./store/usages.ts";

const DAY_MS = 86_400_000;
const log = createLog({ service: "test", level: "silent" });
const clock = new ManualClock(NOON_MS);
let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("metering");
  await migrate({ url, directory: `${import.meta.dirname}/store/migrations`, log });
  pool = createPool({ url, log });
  await post(4, { team: "search", model: "gpt-4o" });
  await post(2, { team: "ads", model: "gpt-4o", region: "us", instance: "us-1" });
  await post(1, { team: "ads", model: "o3", endedMs: NOON_MS - 20 * DAY_MS, boot: "boot-2" });
  await post(3, { organisation: "other", boot: "boot-3" });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

async function post(count: number, options: UsageOptions): Promise<void> {
  const facts = readFacts(options.region ?? "eu", createUsageMessage(createUsages(count, options)));
  const rooms = { commit: commitIntake.bind(undefined, pool), report: () => {}, clock };
  await takeInFacts(facts, rooms, AbortSignal.timeout(20_000));
}

const transport = createRouterTransport(
  (router) => {
    router.service(SpendService, {
      querySpend: (request, context) => wired(() => createSpendService(pool, clock).querySpend(request, context)),
      listLedgerEntries: (request, context) =>
        wired(() => createSpendService(pool, clock).listLedgerEntries(request, context)),
    });
    router.service(IntakeService, {
      getWatermark: (request, context) => createIntakeService(pool).getWatermark(request, context),
    });
  },
  { router: { interceptors: [createTestAccessInterceptor()] } },
);
const client = createClient(SpendService, transport);

async function wired<T>(act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw toConnectError(error);
  }
}

const COST = 7_500_000n;

it("answers UNAVAILABLE before the first migration has run", async () => {
  const unmigrated = createPool({ url: postgres.url("audit_us"), log });
  onTestFinished(() => unmigrated.end());
  const routes = (router: ConnectRouter): void => {
    router.service(SpendService, createSpendService(unmigrated, clock));
    router.service(IntakeService, createIntakeService(unmigrated));
  };
  const interceptors = [createErrorInterceptor(log), createTestAccessInterceptor()];
  const early = createRouterTransport(routes, { router: { interceptors } });

  const [spend, mark] = await Promise.allSettled([
    createClient(SpendService, early).querySpend({ organisation: "acme" }),
    createClient(IntakeService, early).getWatermark({ region: "eu", instance: "eu-1", boot: "b" }),
  ]);

  expect(spend).toMatchObject({ reason: { code: Code.Unavailable } });
  expect(mark).toMatchObject({ reason: { code: Code.Unavailable } });
});

describe("QuerySpend", () => {
  it("answers one row with all of this month, of one organisation only", async () => {
    const { rows, nextPageToken } = await client.querySpend({ organisation: "acme" });

    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ calls: 6n, attempts: 6n, costNanos: 6n * COST, team: "", day: "" });
    expect(rows[0]?.quantities.map(({ meter, quantity }) => [meter, quantity])).toEqual([
      [Meter.INPUT_TOKENS, 6_000n],
      [Meter.OUTPUT_TOKENS, 3_000n],
    ]);
    expect(nextPageToken).toBe("");
  });

  it("answers a row of zeros when there is no spend", async () => {
    const { rows } = await client.querySpend({ organisation: "nobody" });

    expect(rows.map(({ calls, costNanos }) => [calls, costNanos])).toEqual([[0n, 0n]]);
  });

  it("tells apart by any dimensions, dearest first", async () => {
    const request = { organisation: "acme", firstDay: "2026-05-01", groupBy: [Dimension.TEAM, Dimension.MODEL] };

    const { rows } = await client.querySpend(request);

    expect(rows.map(({ team, model, costNanos, region }) => [team, model, costNanos / COST, region])).toEqual([
      ["search", "gpt-4o", 4n, ""],
      ["ads", "gpt-4o", 2n, ""],
      ["ads", "o3", 1n, ""],
    ]);
  });

  it("tells apart by all eight dimensions at once", async () => {
    const groupBy = [1, 2, 3, 4, 5, 6, 7, 8] as Dimension[];

    const { rows } = await client.querySpend({ organisation: "acme", groupBy, firstDay: "2026-06-15" });

    expect(rows[0]).toMatchObject({
      team: "search",
      app: "assistant",
      environment: "production",
      key: "abcdefghij23",
      model: "gpt-4o",
      provider: "openai-eu",
      region: "eu",
      day: "2026-06-15",
      calls: 4n,
    });
  });

  it("lets through only what matches all filters", async () => {
    const { rows } = await client.querySpend({
      organisation: "acme",
      firstDay: "2026-05-01",
      groupBy: [Dimension.DAY],
      filters: [
        { dimension: Dimension.TEAM, values: ["ads", "no such team"] },
        { dimension: Dimension.DAY, values: ["2026-05-26"] },
      ],
    });

    expect(rows.map(({ day, calls }) => [day, calls])).toEqual([["2026-05-26", 1n]]);
  });

  it("gives the same rows in pages as at once", async () => {
    const question = {
      organisation: "acme",
      firstDay: "2026-05-01",
      groupBy: [Dimension.TEAM, Dimension.REGION, Dimension.DAY],
    };
    const whole = await client.querySpend(question);
    const rows: unknown[] = [];
    let pageToken = "";
    do {
      const page = await client.querySpend({ ...question, pageSize: 1, pageToken });
      expect(page.rows).toHaveLength(1);
      rows.push(...page.rows);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect(rows).toEqual(whole.rows);
  });

  it("gives tokens that it takes back, however long the names of a row", async () => {
    const groupBy = [1, 2, 3, 4, 5, 6, 7, 8] as Dimension[];
    const [long, other] = createUsages(2, {
      organisation: "longest",
      boot: "boot-4",
      team: "t".repeat(63),
      app: "a".repeat(63),
      environment: "e".repeat(32),
      attempts: [{ provider: "p".repeat(122), lines: [[Meter.INPUT_TOKENS, 1n, 1n]] }],
    });
    for (const usage of [long!, other!]) usage.caller!.identity = { case: "subject", value: '"'.repeat(256) };
    for (const usage of [long!, other!]) usage.model = `${usage.producer!.seq}`.padEnd(256, "\u0001");
    const rooms = { commit: commitIntake.bind(undefined, pool), report: () => {}, clock };
    await takeInFacts(readFacts("eu", createUsageMessage([long!, other!])), rooms, AbortSignal.timeout(20_000));

    const { nextPageToken: pageToken } = await client.querySpend({ organisation: "longest", groupBy, pageSize: 1 });

    expect(pageToken).not.toBe("");
    const question = create(QuerySpendRequestSchema, { organisation: "longest", groupBy, pageToken });
    expect(getValidator().validate(QuerySpendRequestSchema, question).kind).toBe("valid");
  });

  it("refuses a page token of another question, of nothing, and of too little", async () => {
    const question = { organisation: "acme", groupBy: [Dimension.TEAM], pageSize: 1 };
    const { nextPageToken } = await client.querySpend(question);
    expect(nextPageToken).not.toBe("");

    const refused: Partial<Parameters<typeof client.querySpend>[0]>[] = [
      { pageToken: nextPageToken, groupBy: [Dimension.APP] },
      { pageToken: nextPageToken, organisation: "other" },
      { pageToken: "nonsense" },
      { pageToken: Buffer.from("[1]").toString("base64url") },
    ];
    for (const changes of refused) {
      await expect(client.querySpend({ ...question, ...(changes as object) })).rejects.toMatchObject({
        rawMessage: expect.stringContaining("page_token"),
      });
    }
  });

  it.each([
    [{ firstDay: "2026-02-30" }, "first_day"],
    [{ lastDay: "2026-13-01" }, "last_day"],
    [{ firstDay: "2026-06-20", lastDay: "2026-06-10" }, "first_day"],
    [{ groupBy: [99 as Dimension] }, "dimension"],
  ])(
    "refuses %j",
    async (changes: Partial<Omit<ReturnType<typeof create<typeof QuerySpendRequestSchema>>, "$typeName">>, field) => {
      await expect(client.querySpend({ organisation: "acme", ...changes })).rejects.toMatchObject({
        rawMessage: expect.stringContaining(field),
      });
    },
  );
});

describe("ListLedgerEntries", () => {
  it("lists all entries of an organisation in pages, and they add up to zero", async () => {
    let pageToken = "";
    const entries = [];
    do {
      const page = await client.listLedgerEntries({ organisation: "acme", pageSize: 3, pageToken });
      entries.push(...page.entries);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect(entries).toHaveLength(14);
    expect(new Set(entries.map(({ entryId }) => entryId)).size).toBe(14);
    expect(entries.reduce((sum, { amountNanos }) => sum + amountNanos, 0n)).toBe(0n);
    expect(entries.every(({ organisation }) => organisation === "acme")).toBe(true);
  });

  it("lists those of one call", async () => {
    const { entries } = await client.listLedgerEntries({ organisation: "acme", pageSize: 100 });
    const { eventId } = entries.find(({ account }) => account === "spend/acme/ads/assistant/production")!;

    const call = await client.listLedgerEntries({ organisation: "acme", eventId });

    expect(call.entries.map(({ account, amountNanos }) => [account, amountNanos])).toEqual([
      ["provider/openai-eu", -COST],
      ["spend/acme/ads/assistant/production", COST],
    ]);
  });

  it("lists nothing of another organisation's call", async () => {
    const { entries } = await client.listLedgerEntries({ organisation: "acme", pageSize: 1 });

    const call = await client.listLedgerEntries({ organisation: "other", eventId: entries[0]!.eventId });

    expect(call.entries).toEqual([]);
  });
});

describe("GetWatermark", () => {
  it("says up to where a producer's usages are committed, and 0 of one that is unknown", async () => {
    const intake = createClient(IntakeService, transport);

    expect(await intake.getWatermark({ region: "us", instance: "us-1", boot: "boot-1" })).toMatchObject({ seq: 2n });
    expect(await intake.getWatermark({ region: "us", instance: "us-9", boot: "boot-1" })).toMatchObject({ seq: 0n });
  });
});
