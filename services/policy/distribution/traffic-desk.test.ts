import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { SnapshotKind, SnapshotPhase } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { type Pool, query } from "../../shared/database/pool.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { type PolicyHarness, startHarness } from "../harness.fixture.ts";
import { storeReport } from "../store/instances.ts";
import { TrafficDesk } from "./traffic-desk.ts";

const log = createLog({ service: "test", level: "silent" });
let harness: PolicyHarness;
let pool: Pool;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  ({ pool } = harness);
}, 60_000);
afterAll(() => harness?.stop());

/** A desk that works, and routers that are known. */
async function startDesk(...routers: readonly string[]) {
  const versions = { version: 1n, digest: new Uint8Array(), runningVersion: 1n, crashes: 0 };
  const said = { build: "b", kind: SnapshotKind.SNAPSHOT, phase: SnapshotPhase.APPLIED, reasons: [], ...versions };
  for (const instance of routers) await storeReport(pool, { region: "eu", instance, boot: "b1", ...said });
  const clock = new ManualClock();
  const desk = new TrafficDesk({ pool, clock, log });
  const stopping = new AbortController();
  const working = desk.run(stopping.signal);
  onTestFinished(() => {
    stopping.abort();
    return working;
  });
  return {
    say: (instance: string, version: number, calls: number) =>
      desk.take({
        ...{ region: "eu", instance, boot: "b1", version: BigInt(version), calls: BigInt(calls) },
        ...{ failures: 0n, denials: 0n, overhead: [], snapshotAgeMs: 0, keyringAgeMs: 0 },
      }),
    /** What is written of a router by the desk's next turn: version and calls. */
    async findWritten(instance: string) {
      await clock.whenSleeping();
      clock.advance(1_000);
      await clock.whenSleeping();
      const rows = await query<{ version: bigint; calls: bigint }>(
        pool,
        "select version, calls from router_traffic where instance = $1 order by version",
        [instance],
      );
      return rows.map(({ version, calls }) => [Number(version), Number(calls)]);
    },
  };
}

it("of a router's reports on a version the last one is written, of both when it went on to another version", async () => {
  const { say, findWritten } = await startDesk("eu-1");

  say("eu-1", 7, 10);
  say("eu-1", 7, 20);
  say("eu-1", 8, 1);
  say("eu-1", 8, 2);

  expect(await findWritten("eu-1")).toEqual([
    [7, 20],
    [8, 2],
  ]);
});

it("a router that names thousands of versions pushes out no report but its own", async () => {
  const { say, findWritten } = await startDesk("honest", "liar");

  say("honest", 7, 10);
  for (let version = 1; version <= 20_000; version += 1) say("liar", version, 1);

  expect(await findWritten("honest")).toEqual([[7, 10]]);
  expect(await findWritten("liar")).toEqual([
    [19_999, 1],
    [20_000, 1],
  ]);
});
