// The whole table: each fault of a provider of each dialect, seen through each surface, in one piece and streamed. The rules are in
// rules.ts; `npm run conformance` prints what is judged here.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeGrpcClients } from "../callers/grpc.ts";
import { type ConformanceProvider, startConformanceProvider } from "../provider/provider.ts";
import { listCells, runCells } from "./cell.ts";
import { CALLERS, COLUMNS } from "./columns.ts";
import { type Judged, toJudged } from "./print.ts";
import { DIALECTS, type MatrixRouter, startMatrixRouter } from "./router.ts";

let provider: ConformanceProvider;
let router: MatrixRouter;
const judged: Judged[] = [];

beforeAll(async () => {
  provider = await startConformanceProvider();
  const cells = listCells();
  router = await startMatrixRouter(provider.address, { cells });
  const { address: origin, key } = router.harness;
  await runCells(
    cells,
    { origin, key, headers: {} },
    {
      ledger: router.ledger,
      hasLanes: true,
      onResult: (cell, result) => judged.push(toJudged(cell, result)),
    },
  );
});

afterAll(async () => {
  closeGrpcClients();
  await router?.close();
  await provider?.close();
});

describe.each(COLUMNS.map(({ name }) => name))("through %s", (caller) => {
  it.each(DIALECTS.map(({ name }) => name))(
    "each fault of a provider of %s is answered and billed as it must be",
    (name) => {
      const own = judged.filter(({ cell }) => cell.caller === caller && cell.dialect.name === name);
      const wrong = own.flatMap(({ cell, wrong: what }) =>
        what.map((one) => `${cell.fault.name}, ${cell.streamed ? "streamed" : "unary"}: ${one}`),
      );

      expect(own.length).toBeGreaterThan(CALLERS.some(({ name: one }) => one === caller) ? 50 : 0);
      expect(wrong).toEqual([]);
    },
  );
});

it("each call that began left one usage and one record", () => {
  const rows = router.ledger.list();

  expect(rows.length).toBeGreaterThan(1_000);
  expect(rows.filter(({ usages, records }) => usages !== 1 || records !== 1)).toEqual([]);
});

it("no call is open at the end, at the router or at the provider", () => {
  expect([provider.open, router.harness.memory.usedBytes]).toEqual([0, 0]);
});
