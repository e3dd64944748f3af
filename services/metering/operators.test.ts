// What spend and ledger refuse to operators whose roles hold in one organisation or environment; the gate before them is tested in shared/mesh.
import { type Client, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dimension, SpendService } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { createUsageMessage, createUsages, NOON_MS, type UsageOptions } from "../../test/usages.ts";
import { createTestOperators } from "../shared/authority/operators.fixture.ts";
import { ManualClock } from "../shared/clock.ts";
import { migrate } from "../shared/database/migrate.ts";
import { createPool, type Pool } from "../shared/database/pool.ts";
import { tell } from "../shared/errors/refusal.fixture.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import { Health } from "../shared/mesh/health.ts";
import { type MeshServer, startMeshServer } from "../shared/mesh/server.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { readFacts } from "./fact.ts";
import { takeInFacts } from "./spend.ts";
import { createSpendService } from "./spend-service.ts";
import { commitIntake } from "./store/usages.ts";

const { authority, tokens } = createTestOperators({
  mesh: [{ roles: ["ROLE_VIEWER"], organisation: "*" }],
  acme: [{ roles: ["ROLE_AUDITOR"], organisation: "acme" }],
  acmeTest: [{ roles: ["ROLE_VIEWER"], organisation: "acme", environment: "test" }],
  /** Has a role in all of acme, which is not one for spend. */
  keys: [
    { roles: ["ROLE_VIEWER"], organisation: "acme", environment: "test" },
    { roles: ["ROLE_KEY_MANAGER"], organisation: "acme" },
  ],
});
type Operator = keyof typeof tokens;

const log = createLog({ service: "test", level: "silent" });
const clock = new ManualClock(NOON_MS);
const ENVIRONMENT = Dimension.ENVIRONMENT;
let postgres: TestPostgres;
let pool: Pool;
let server: MeshServer;
let as: Record<Operator, Client<typeof SpendService>>;
const transports: ReturnType<typeof createMeshTransport>[] = [];
/** A call of acme, and one of the other organisation. */
let acmeCall: string;
let otherCall: string;

beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("metering");
  await migrate({ url, directory: `${import.meta.dirname}/store/migrations`, log });
  pool = createPool({ url, log });
  acmeCall = await post(2, { boot: "boot-1" });
  await post(1, { boot: "boot-2", environment: "test" });
  otherCall = await post(3, { boot: "boot-3", organisation: "other", environment: "test" });
  server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    authority,
    routes: (router) => router.service(SpendService, createSpendService(pool, clock)),
    services: [SpendService],
    reflection: false,
    health: new Health(),
    log,
  });
  as = Object.fromEntries(Object.entries(tokens).map(([name, token]) => [name, connect(token)])) as typeof as;
}, 60_000);

afterAll(async () => {
  for (const transport of transports) transport.close();
  await server?.close();
  await pool?.end();
  await postgres?.stop();
});

function connect(token: string) {
  const transport = createMeshTransport({ addresses: [`127.0.0.1:${server.address.port}`], token: () => token });
  transports.push(transport);
  return createClient(SpendService, transport);
}

/** The id of one of the calls that were posted. */
async function post(count: number, options: UsageOptions): Promise<string> {
  const usages = createUsages(count, options);
  const rooms = { commit: commitIntake.bind(undefined, pool), report: () => {}, clock };
  await takeInFacts(readFacts("eu", createUsageMessage(usages)), rooms, AbortSignal.timeout(20_000));
  return usages[0]?.eventId as string;
}

const spend = (who: Operator, organisation: string, ...environments: string[][]) =>
  as[who].querySpend({
    organisation,
    groupBy: [ENVIRONMENT],
    filters: environments.map((values) => ({ dimension: ENVIRONMENT, values })),
  });

describe("QuerySpend", () => {
  it.each<[Operator, string, string[][], Record<string, number>]>([
    ["mesh", "other", [], { test: 3 }],
    ["acme", "acme", [], { production: 2, test: 1 }],
    ["acme", "acme", [["production"]], { production: 2 }],
    ["acmeTest", "acme", [["test"]], { test: 1 }],
    ["keys", "acme", [["test"]], { test: 1 }],
    ["acmeTest", "acme", [["test"], ["production"]], {}],
  ])("tells %s of %s, filtered by %j, no more than %j", async (who, organisation, environments, calls) => {
    const { rows } = await spend(who, organisation, ...environments);

    expect(Object.fromEntries(rows.map((row) => [row.environment, Number(row.calls)]))).toEqual(calls);
  });

  it.each<[Operator, string[][]]>([
    ["acmeTest", []],
    ["acmeTest", [["production"]]],
    ["acmeTest", [["test", "production"]]],
    ["acmeTest", [["production"], ["test"]]],
    ["acmeTest", [[""]]],
    ["keys", []],
    ["keys", [["production"]]],
  ])("refuses %s what lies beyond their environment: %j", async (who, environments) => {
    expect(await tell(spend(who, "acme", ...environments))).toMatch(/PERMISSION_DENIED|ARGUMENT_INVALID/);
  });

  it("refuses what is beyond in the same words whether it is there or not", async () => {
    const told = await Promise.all([
      tell(spend("acme", "other"), "other"),
      tell(spend("acmeTest", "acme", ["production"]), "production"),
    ]);

    for (const each of told) expect(each).toContain("PERMISSION_DENIED");
    expect(told).toEqual([
      await tell(spend("acme", "nowhere"), "nowhere"),
      await tell(spend("acmeTest", "acme", ["nowhere"]), "nowhere"),
    ]);
  });

  it("does not go on in one organisation from a page of another", async () => {
    const page = { groupBy: [Dimension.KEY, ENVIRONMENT], pageSize: 1 };
    const { nextPageToken: pageToken } = await as.mesh.querySpend({ ...page, organisation: "acme" });

    expect(pageToken).not.toBe("");
    expect(await tell(as.mesh.querySpend({ ...page, organisation: "other", pageToken }))).toContain("page_token");
  });
});

describe("ListLedgerEntries", () => {
  it("tells an operator of an organisation its entries, and of the call of another as of none", async () => {
    const { entries } = await as.acme.listLedgerEntries({ organisation: "acme" });
    const own = await as.acme.listLedgerEntries({ organisation: "acme", eventId: acmeCall });
    const others = await as.acme.listLedgerEntries({ organisation: "acme", eventId: otherCall });

    expect(new Set(entries.map(({ organisation }) => organisation))).toEqual(new Set(["acme"]));
    expect([own.entries.length > 0, others.entries]).toEqual([true, []]);
  });

  it("refuses another organisation, there or not, and operators of one environment", async () => {
    const list = (who: Operator, organisation: string) =>
      tell(as[who].listLedgerEntries({ organisation }), organisation);

    expect(await list("acme", "other")).toContain("PERMISSION_DENIED");
    expect(await list("acme", "other")).toBe(await list("acme", "nowhere"));
    expect(await list("acmeTest", "acme")).toContain("PERMISSION_DENIED");
    expect(await list("keys", "acme")).toContain("PERMISSION_DENIED");
  });
});
