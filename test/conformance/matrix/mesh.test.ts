// A cut of the table through a whole mesh: what callers of each surface ask of providers of each dialect, well and broken, is in the
// ledger of metering and in the log of audit exactly once.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dialect } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Pool } from "../../../services/shared/database/pool.ts";
import { type Mesh, startMesh } from "../../mesh.ts";
import { readLog, waitFor } from "../../records.ts";
import { openLedger, readLedgerSums, readUsageIds } from "../../spend.ts";
import { closeGrpcClients } from "../callers/grpc.ts";
import { type ConformanceProvider, startConformanceProvider } from "../provider/provider.ts";
import { type Cell, listCells, runCells } from "./cell.ts";
import { CALLERS } from "./columns.ts";
import { FAULTS } from "./faults.ts";
import { type Judged, toJudged } from "./print.ts";
import { DIALECTS, inLane } from "./router.ts";

/** Rows that say something of the ledger; each twice, in one piece and streamed, where it can be. */
const ROWS = ["none", "parallel tools", "reasoning", "usage missing", "error in a 200", "cut after text"];

let mesh: Mesh;
let provider: ConformanceProvider;
let ledger: Pool;
const judged: Judged[] = [];
const ids: string[] = [];

beforeAll(async () => {
  provider = await startConformanceProvider();
  const cells = listCells().filter(({ fault }) => ROWS.includes(fault.name));
  mesh = await startMesh({ name: "matrix", policy: createPolicy(provider.address, cells) });
  ledger = openLedger(mesh);
  const gateway = { origin: mesh.routerUrl("eu"), key: mesh.key, headers: {} };
  await runCells(cells, gateway, {
    width: 8,
    hasLanes: true,
    onResult: (cell, result) => {
      judged.push(toJudged(cell, result));
      for (const seen of [result.seen, result.spare?.seen]) {
        const id = seen?.headers["x-request-id"];
        if (id !== undefined) ids.push(id);
      }
    },
  });
});

afterAll(async () => {
  closeGrpcClients();
  await ledger?.end();
  await mesh?.stop();
  await provider?.close();
});

describe("through a whole mesh", () => {
  it("callers see what they must see", () => {
    const wrong = judged.flatMap(({ cell, wrong: what }) =>
      what.map((one) => `${cell.caller} → ${cell.dialect.name}, ${cell.fault.name}: ${one}`),
    );

    expect(ROWS.filter((row) => !FAULTS.some(({ name }) => name === row))).toEqual([]);
    expect(judged.length).toBeGreaterThan(CALLERS.length * DIALECTS.length * ROWS.length);
    expect(wrong).toEqual([]);
  });

  it("each call is in the ledger once, and its sums agree", async () => {
    const found = await waitFor(
      () => readUsageIds(ledger),
      (now) => now.length >= ids.length,
    );
    const sums = await readLedgerSums(ledger);

    expect(found).toEqual([...ids].sort());
    expect(sums).toMatchObject({ balance: 0n, parked: 0n, mismatched: 0n, usages: BigInt(ids.length) });
    expect([sums.charged, sums.spendCost]).toEqual([sums.usageCost, sums.usageCost]);
  });

  it("each call is in the audit log once", async () => {
    const calls = await waitFor(
      async () => (await readLog(mesh, "eu")).filter(({ record }) => record.act.case === "call"),
      (now) => now.length >= ids.length,
    );

    expect(calls.map(({ logged }) => logged.recordId).sort()).toEqual([...ids].sort());
  });
});

function createPolicy(address: string, cells: readonly Cell[]): unknown {
  const regions = ["eu", "us"];
  const named = DIALECTS.map(({ dialect, ...rest }) => ({
    ...rest,
    dialect: `DIALECT_${Object.entries(Dialect).find(([, value]) => value === dialect)?.[0]}`,
  }));
  const lanes = [...new Set(cells.map(({ lane }) => lane))];
  return {
    organisation: "demo",
    regions: regions.map((id) => ({ id })),
    providers: named.map(({ name, dialect, basePath, apiVersion, cloudRegion }) => ({
      id: name,
      dialect,
      baseUrl: `${address}${basePath}`,
      credential: "scripted",
      regions,
      ...(apiVersion !== undefined && { apiVersion }),
      ...(cloudRegion !== undefined && { cloudRegion }),
    })),
    targets: named.flatMap(({ name, model = "scripted" }) => [
      createTarget(name, `${name}/steady`, `${model}-steady`),
      ...lanes.flatMap((lane) =>
        ["scripted", "spared"].map((place) => createTarget(name, inLane(`${name}/${place}`, lane), model)),
      ),
    ]),
    models: named.flatMap(({ name }) =>
      lanes.flatMap((lane) => [
        { id: inLane(name, lane), routes: [{ target: inLane(`${name}/scripted`, lane) }] },
        {
          id: inLane(`${name}-spare`, lane),
          routes: [{ target: inLane(`${name}/spared`, lane) }, { target: `${name}/steady`, priority: 1 }],
        },
      ]),
    ),
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}

function createTarget(provider: string, id: string, model: string) {
  return { id, provider, model, prices: { input: "1", output: "2" }, maxOutputTokens: "4096" };
}
