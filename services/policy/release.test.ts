import { randomUUID } from "node:crypto";
import type { createClient } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Release, ReleaseState } from "../../gen/weir/policy/v1/release_pb.ts";
import type { SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { systemClock } from "../shared/clock.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
import { SnapshotHold } from "../shared/snapshot/hold.ts";
import { SnapshotReporter } from "../shared/snapshot/report.ts";
import { watchSnapshots } from "../shared/snapshot/watch.ts";
import { createLog } from "../shared/telemetry/log.ts";
import type { samplePolicyJson } from "./compilation/policy.fixture.ts";
import { type PolicyHarness, publishSample, startHarness, type TestInstance, verifier } from "./harness.fixture.ts";

const log = createLog({ service: "policy", level: "fatal" });
let harness: PolicyHarness;
let first: TestInstance;
let second: TestInstance;
let routers: Set<TestRouter>;

beforeAll(async () => {
  harness = await startHarness();
}, 60_000);
afterAll(() => harness.stop());
beforeEach(async () => {
  await harness.reset();
  routers = new Set();
  [first, second] = await Promise.all([harness.start(), harness.start()]);
});
afterEach(async () => {
  await Promise.all([...routers].map((router) => router.stop()));
});

type Client = ReturnType<typeof createClient<typeof SnapshotService>>;

/** A router as far as policy sees it: the real watch, hold and reports, with faults that a test asks for. */
class TestRouter {
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  readonly hold: SnapshotHold;
  /** Every version that it has run, in its order. */
  readonly ran: bigint[] = [];

  constructor(
    client: Client,
    name: { readonly region: string; readonly instance: string },
    faults: { readonly boot?: string; readonly refuses?: bigint; readonly crashedBy?: bigint } = {},
  ) {
    const { refuses, crashedBy, boot = "life-1" } = faults;
    this.hold = new SnapshotHold({
      region: name.region,
      trust: [verifier],
      isBarred: ({ version }) => version === refuses,
    });
    this.hold.onChange(() => {
      const version = this.hold.heldSnapshot()?.head.version ?? 0n;
      if (version !== this.ran.at(-1) && version > 0n) this.ran.push(version);
    });
    const signal = this.#ending.signal;
    const options = { client, name: { ...name, boot, build: "0.1.0" }, clock: systemClock, log, signal };
    const countCrashes = ({ version }: { version: bigint }) => (version === crashedBy ? 1 : 0);
    const reporter = new SnapshotReporter({ ...options, countCrashes });
    this.#running = watchSnapshots({ ...options, hold: this.hold, reporter });
    routers.add(this);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    routers.delete(this);
  }
}

const [EU1, EU2, US1] = [
  { region: "eu", instance: "eu-1" },
  { region: "eu", instance: "eu-2" },
  { region: "us", instance: "us-1" },
];

async function until(check: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`Cannot go on: ${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Publishes the first version and starts these routers on it. */
async function startRouters(
  names: readonly (typeof EU1)[],
  faults: Record<string, ConstructorParameters<typeof TestRouter>[2]> = {},
): Promise<TestRouter[]> {
  await publishSample(first);
  const started = names.map((name, index) => {
    const instance = index % 2 === 0 ? first : second;
    return new TestRouter(instance.snapshots, name, faults[name.instance]);
  });
  await until(async () => {
    const { instances } = await first.releases.listInstances({});
    return instances.filter(({ connected, snapshot }) => connected && snapshot?.version === 1n).length === names.length;
  }, "running the first version");
  return started;
}

type Waves = { regions?: string[]; routers?: number; bake?: string }[];

/** Publishes the sample with these waves; without bake times each wave goes on when its routers have applied it. */
async function publish(waves: Waves, gates: object = {}, rest: Parameters<typeof publishSample>[2] = {}) {
  const change = (json: ReturnType<typeof samplePolicyJson>) => Object.assign(json, { rollout: { waves, gates } });
  return (await publishSample(first, change, rest)).version!;
}

const QUICK: Waves = [{ regions: ["eu"], routers: 1, bake: "0s" }, { regions: ["eu"], bake: "0s" }, { bake: "0s" }];
/** The first wave stays until somebody ends it. */
const SLOW: Waves = [{ regions: ["eu"], routers: 1, bake: "86400s" }];

/** Follows a release to its end and returns all that it was. */
async function follow(instance: TestInstance, policyVersion: bigint): Promise<Release[]> {
  const seen: Release[] = [];
  for await (const { release } of instance.releases.watchRelease({ policyVersion }, { timeoutMs: 30_000 })) {
    seen.push(release!);
  }
  return seen;
}

const getRelease = async (policyVersion: bigint) => (await second.releases.getRelease({ policyVersion })).release!;

describe("a release", () => {
  it("goes to one router, then to its region, then to the others, and each step is on record", async () => {
    const [eu1, eu2, us1] = (await startRouters([EU1, EU2, US1])) as [TestRouter, TestRouter, TestRouter];

    const { version } = await publish(QUICK);
    const end = (await follow(second, version)).at(-1);

    expect(end).toMatchObject({ state: ReleaseState.DONE, wave: 2, basePolicyVersion: 1n, admitted: 3, applied: 3 });
    expect([eu1.ran, eu2.ran, us1.ran]).toEqual([
      [1n, 2n],
      [1n, 2n],
      [1n, 2n],
    ]);
    const { rows } = await harness.pool.query(
      "select region, instance, wave from release_router order by wave, instance",
    );
    expect(rows.map(({ wave }) => wave)).toEqual([0, 1, 2]);
    const acts = await harness.pool.query("select count(*)::int as acts from outbox where lane = 'audit'");
    // Two publishes, the end of the first release, and of the second: pending, three times rolling and baking, done.
    expect(acts.rows[0].acts).toBe(2 + 1 + 8);
  });

  it("gives the version to whoever comes to a region that is open, and to all who come once it is over", async () => {
    const [, us1] = (await startRouters([EU1, US1])) as [TestRouter, TestRouter];
    const { version } = await publish([{ regions: ["eu"], bake: "86400s" }]);
    await until(async () => (await getRelease(version)).state === ReleaseState.BAKING, "watching the first region");
    const eu2 = new TestRouter(second.snapshots, EU2);
    await until(() => eu2.ran.length > 0, "starting a router where the region is open");
    expect([eu2.ran, us1.ran]).toEqual([[2n], [1n]]);

    const { version: next } = await publish(QUICK);
    expect((await follow(second, next)).at(-1)).toMatchObject({ state: ReleaseState.DONE });

    const us2 = new TestRouter(second.snapshots, { region: "us", instance: "us-2" });
    await until(() => us2.ran.length > 0, "starting a router after the release");
    expect(us2.ran).toEqual([3n]);
  });

  it("gives the version to nobody else while its first router is watched, whoever comes or restarts", async () => {
    const [eu1, eu2, us1] = (await startRouters([EU1, EU2, US1])) as [TestRouter, TestRouter, TestRouter];

    const { version } = await publish(SLOW);
    await until(async () => (await getRelease(version)).state === ReleaseState.BAKING, "watching the first router");
    const late = new TestRouter(first.snapshots, { region: "eu", instance: "eu-3" });
    await until(() => late.ran.length > 0, "starting a late router");

    expect([eu1.ran.at(-1), eu2.ran.at(-1)].sort()).toEqual([1n, 2n]);
    expect(late.ran).toEqual([1n]);
    expect(us1.ran).toEqual([1n]);
    const areAllListed = async () => (await second.releases.listInstances({})).instances.length === 4;
    await until(areAllListed, "hearing of the late router");
    const { instances, latest } = await second.releases.listInstances({});
    expect(instances.map(({ wantedVersion }) => wantedVersion).sort()).toEqual([1n, 1n, 1n, 2n]);
    expect(latest).toMatchObject([{ snapshotVersion: 2n, releasedVersion: 1n }, { region: "us" }]);
  });

  it("C5: what the first router refuses reaches no other one, and what ran before comes back with no human", async () => {
    const faults = { "eu-1": { refuses: 2n }, "eu-2": { refuses: 2n } };
    const [eu1, eu2, us1] = (await startRouters([EU1, EU2, US1], faults)) as [TestRouter, TestRouter, TestRouter];

    const { version } = await publish(QUICK);
    const end = (await follow(second, version)).at(-1)!;

    expect(end).toMatchObject({ state: ReleaseState.ROLLED_BACK, wave: 0, rolledBackBy: 3n });
    expect(end.reasons[0]).toMatch(/^eu\/eu-[12] refused it: CRASHED: /);
    await until(() => [eu1, eu2, us1].every(({ ran }) => ran.at(-1) === 3n), "running the old content again");
    expect(us1.ran).toEqual([1n, 3n]);
    const [restored, original] = await Promise.all([
      first.policies.getPolicy({ version: 3n }),
      first.policies.getPolicy({ version: 1n }),
    ]);
    expect(restored.version).toMatchObject({ contentOf: 1n });
    expect(restored.policy).toEqual(original.policy);
  });

  it("C5: what crashes the first router is rolled back as soon as it is up again and says so", async () => {
    const [eu1] = (await startRouters([EU1, US1])) as [TestRouter];
    const { version } = await publish(SLOW);
    await until(() => eu1.ran.at(-1) === 2n, "applying the version");
    await eu1.stop();

    const again = new TestRouter(first.snapshots, EU1, { boot: "life-2", crashedBy: 2n });
    const end = (await follow(second, version)).at(-1)!;

    expect(end).toMatchObject({ state: ReleaseState.ROLLED_BACK, reasons: ["It crashed eu/eu-1"] });
    await until(() => again.ran.at(-1) === 3n, "running the old content again");
  });

  it("C5: what silences the first router is rolled back after the deadline", async () => {
    const [eu1, us1] = (await startRouters([EU1, US1])) as [TestRouter, TestRouter];
    const { version } = await publish(SLOW, { appliedWithin: "1s" });
    await until(() => eu1.ran.at(-1) === 2n, "applying the version");
    await eu1.stop();

    const end = (await follow(first, version)).at(-1)!;

    expect(end.reasons).toEqual(["eu/eu-1 was given it and did not come back within 1 s"]);
    await until(() => us1.ran.at(-1) === 3n, "running the old content again");
  });

  it("is halted when the routers with it fail more calls than the others", async () => {
    await startRouters([EU1, EU2]);
    const report = (instance: string, snapshotVersion: bigint, calls: bigint, failures: bigint) =>
      first.snapshots.reportTraffic({ region: "eu", instance, boot: "life-1", snapshotVersion, calls, failures });
    const { version } = await publish(SLOW);
    await until(async () => (await getRelease(version)).state === ReleaseState.BAKING, "watching the first router");
    const { instances } = await first.releases.listInstances({});
    const chosen = instances.find(({ wantedVersion }) => wantedVersion === 2n)!.instance;
    const other = chosen === "eu-1" ? "eu-2" : "eu-1";

    await report(other, 1n, 100n, 2n);
    await report(chosen, 2n, 100n, 20n);
    const end = (await follow(second, version)).at(-1)!;

    expect(end.state).toBe(ReleaseState.ROLLED_BACK);
    expect(end.reasons).toEqual([
      "Of the calls of routers with it 20.0 % fail, of those of the others 2.0 %; at most 5 % more may be",
    ]);
    expect(end).toMatchObject({
      newTraffic: { calls: 100n, failures: 20n },
      oldTraffic: { calls: 100n, failures: 2n },
    });
  });

  it("is not kept from its end by a router that counts beyond what any has counted", async () => {
    const life = { region: "eu", instance: "eu-9", boot: "life-1", snapshotVersion: 1n };
    const most = 2n ** 63n - 1n;
    const asks = (counts: Parameters<Client["reportTraffic"]>[0]) =>
      first.snapshots.reportTraffic({ ...life, ...counts }).then(
        () => "taken",
        (error: unknown) => fromConnectError(error).reason,
      );

    const answers = await Promise.all([
      asks({ calls: most }),
      asks({ failures: most }),
      asks({ denials: most }),
      asks({ overhead: [{ calls: most }] }),
      asks({ snapshotAge: { seconds: 315_576_000_000n } }),
      asks({ keyringAge: { seconds: -1n } }),
      asks({ calls: 10n ** 12n }),
    ]);

    expect(answers).toEqual([...Array(6).fill("ARGUMENT_INVALID"), "taken"]);
  });

  it("is halted when the routers with it take longer of their own than the others", async () => {
    await startRouters([EU1, EU2]);
    const { version } = await publish(SLOW, { overheadP95: "0.010s" });
    await until(async () => (await getRelease(version)).state === ReleaseState.BAKING, "watching the first router");
    const { instances } = await first.releases.listInstances({});
    const chosen = instances.find(({ wantedVersion }) => wantedVersion === 2n)!.instance;
    const report = (instance: string, snapshotVersion: bigint, [quick, slow, slower]: readonly bigint[]) =>
      first.snapshots.reportTraffic({
        region: "eu",
        instance,
        boot: "life-1",
        snapshotVersion,
        calls: 200n,
        overhead: [
          { atMost: { nanos: 500_000 }, calls: quick },
          { atMost: { nanos: 15_000_000 }, calls: slow },
          { calls: slower },
        ],
      });

    await report(chosen === "eu-1" ? "eu-2" : "eu-1", 1n, [195n, 5n, 0n]);
    await report(chosen, 2n, [100n, 50n, 50n]);
    const end = (await follow(second, version)).at(-1)!;

    expect(end).toMatchObject({
      state: ReleaseState.ROLLED_BACK,
      reasons: [
        "The slowest 5 of 100 calls take routers with it more than 15 ms of their own, the others at most 0.5 ms; at most 10 ms more may be",
      ],
      newTraffic: { overheadP95: { nanos: 15_000_000 } },
      oldTraffic: { overheadP95: { nanos: 500_000 } },
    });
  });

  it("is carried on by another instance of policy when the one that took it in is gone", async () => {
    await publishSample(first);
    const eu1 = new TestRouter(second.snapshots, EU1);
    await until(async () => {
      const { instances } = await second.releases.listInstances({});
      return instances.some(({ connected, snapshot }) => connected && snapshot?.version === 1n);
    }, "running the first version");
    const { version } = await publish(QUICK);
    await first.stop();

    const end = (await follow(second, version)).at(-1);

    expect(end).toMatchObject({ state: ReleaseState.DONE });
    expect(eu1.ran).toEqual([1n, 2n]);
  });

  it("is halted by an operator, once, and only while it is under way", async () => {
    await startRouters([EU1, US1]);
    const { version } = await publish(SLOW);
    const halt = (policyVersion: bigint) =>
      first.releases.haltRelease({ requestId: randomUUID(), policyVersion, comment: "wrong price" });

    await halt(version);
    const end = (await follow(first, version)).at(-1)!;

    expect(end).toMatchObject({
      state: ReleaseState.ROLLED_BACK,
      reasons: [expect.stringMatching(/ halted it: wrong price$/)],
    });
    expect((await halt(version)).release?.state).toBe(ReleaseState.ROLLED_BACK);
    await expect(halt(1n)).rejects.toThrow("Cannot halt release: that of version 1 is done");
    await expect(halt(9n)).rejects.toThrow("version 9 has none");
  });

  it("is superseded by the next version, which goes back to the one that was released whole", async () => {
    const [eu1, us1] = (await startRouters([EU1, US1], { "us-1": { refuses: 3n } })) as [TestRouter, TestRouter];
    const { version } = await publish(SLOW);
    await until(() => eu1.ran.at(-1) === 2n, "applying the second version");

    const next = await publish(QUICK);
    const superseded = (await follow(second, version)).at(-1)!;
    const end = (await follow(second, next.version)).at(-1)!;

    expect(superseded).toMatchObject({ state: ReleaseState.SUPERSEDED });
    expect(end).toMatchObject({ state: ReleaseState.ROLLED_BACK, basePolicyVersion: 1n, wave: 2, rolledBackBy: 4n });
    await until(() => [eu1, us1].every(({ ran }) => ran.at(-1) === 4n), "running the old content again");
    expect(eu1.ran).toEqual([1n, 2n, 3n, 4n]);
    expect(us1.ran).toEqual([1n, 4n]);
    expect(await getRelease(4n)).toMatchObject({ state: ReleaseState.DONE, waves: [] });
  });

  it("ends at once when no router is connected", async () => {
    await publishSample(first);
    const { version } = await publish(SLOW);

    expect((await follow(second, version)).at(-1)).toMatchObject({ state: ReleaseState.DONE, admitted: 0 });
  });

  it("goes to all at once when its publisher says so, when it is a region's first, and when it was released before", async () => {
    const [eu1] = (await startRouters([EU1, US1])) as [TestRouter];
    const { version } = await publish(SLOW, {}, { allAtOnce: true });
    const back = await first.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n });

    expect(await getRelease(1n)).toMatchObject({ state: ReleaseState.DONE, waves: [] });
    expect(await getRelease(version)).toMatchObject({ state: ReleaseState.DONE, waves: [] });
    expect(await getRelease(back.version!.version)).toMatchObject({ state: ReleaseState.DONE, waves: [] });
    await until(() => eu1.ran.at(-1) === 3n, "applying the roll-back");
  });
});
