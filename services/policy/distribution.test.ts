import { randomUUID } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedBatchSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { PolicyPublishedSchema } from "../../gen/weir/event/v1/policy_published_pb.ts";
import { ReleaseState } from "../../gen/weir/policy/v1/release_pb.ts";
import { SnapshotKind, SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { consume } from "../shared/bus/consume.ts";
import type { StreamName } from "../shared/bus/streams.ts";
import { ManualClock, systemClock } from "../shared/clock.ts";
import { SnapshotHold } from "../shared/snapshot/hold.ts";
import { SnapshotReporter } from "../shared/snapshot/report.ts";
import { watchSnapshots } from "../shared/snapshot/watch.ts";
import { createLog } from "../shared/telemetry/log.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
  TestWatch,
  verifier,
} from "./harness.fixture.ts";

const log = createLog({ service: "policy", level: "fatal" });
let harness: PolicyHarness;
let first: TestInstance;
let second: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
}, 60_000);
afterAll(() => harness.stop());
beforeEach(async () => {
  await harness.reset();
  [first, second] = await Promise.all([harness.start(), harness.start()]);
});

async function until(check: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`Cannot go on: ${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("watchSnapshots()", () => {
  it("sends keyring and snapshot to a router that holds nothing, each ended by its head, then a heartbeat", async () => {
    await publishSample(first);
    const watch = new TestWatch(first);

    const pieces = [];
    for (let count = 0; count < 5; count++) pieces.push((await watch.nextAny()).piece);
    watch.end();

    expect(pieces).toMatchObject([
      { case: "keyringPage", value: { version: 1n } },
      { case: "head", value: { kind: SnapshotKind.KEYRING } },
      { case: "snapshotPage", value: { version: 1n } },
      { case: "head", value: { kind: SnapshotKind.SNAPSHOT } },
      { case: "heartbeat", value: { snapshotVersion: 1n, keyringVersion: 1n } },
    ]);
  });

  it("sends at once what another instance has published", async () => {
    await publishSample(first);
    const watch = new TestWatch(second);
    for (let count = 0; count < 4; count++) await watch.next();

    await publishSample(first);

    expect(await watch.next()).toMatchObject({ case: "snapshotPage", value: { version: 2n } });
    watch.end();
  });

  it("sends only the change when a key is made or revoked", async () => {
    await publishSample(first);
    const watch = new TestWatch(second);
    for (let count = 0; count < 4; count++) await watch.next();

    const { key } = await makeSampleKey(first);

    expect(await watch.next()).toMatchObject({
      case: "keyringChange",
      value: { baseVersion: 1n, version: 2n, changed: [{ id: key?.keyId }], removedIds: [] },
    });
    expect(await watch.next()).toMatchObject({ case: "head", value: { kind: SnapshotKind.KEYRING } });
    watch.end();
  });

  it("sends nothing but a heartbeat to a router that holds the latest", async () => {
    await publishSample(first);
    const [eu] = (await first.policies.getPolicy({})).version!.snapshots;
    const { rows } = await harness.pool.query("select digest from keyring");
    const held = {
      snapshotVersion: 1n,
      snapshotDigest: eu!.digest,
      keyringVersion: 1n,
      keyringDigest: new Uint8Array(rows[0].digest),
    };
    const watch = new TestWatch(first, held);

    expect((await watch.nextAny()).piece.case).toBe("heartbeat");
    watch.end();
  });

  it("sends only heartbeats to a router that is ahead, or of an unknown region", async () => {
    await publishSample(first);
    const ahead = new TestWatch(first, { snapshotVersion: 9n, keyringVersion: 9n });
    const stranger = new TestWatch(first, { region: "asia" });

    expect((await ahead.nextAny()).piece.case).toBe("heartbeat");
    expect((await stranger.nextAny()).piece).toMatchObject({ case: "heartbeat", value: { snapshotVersion: 0n } });
    ahead.end();
    stranger.end();
  });

  it("sends the whole keyring to a router that holds another one of the same version", async () => {
    await publishSample(first);
    const watch = new TestWatch(first, { keyringVersion: 1n, keyringDigest: new Uint8Array(32) });

    expect(await watch.next()).toMatchObject({ case: "keyringPage", value: { version: 1n, index: 0 } });
    watch.end();
  });

  it("sends a heartbeat every five seconds", async () => {
    const clock = new ManualClock();
    const instance = await harness.start({ clock });
    const watch = new TestWatch(instance);
    await watch.nextAny();

    const next = watch.nextAny();
    // The listener, the relays, the attendance and the re-reading sleep too.
    await clock.whenSleeping(6);
    clock.advance(5_000);

    expect((await next).piece.case).toBe("heartbeat");
    watch.end();
  });

  it("lets a slow router skip what it missed", async () => {
    await publishSample(first);
    const watch = new TestWatch(first);
    for (let count = 0; count < 4; count++) await watch.next();

    for (let count = 0; count < 10; count++) await publishSample(first);
    const versions: bigint[] = [];
    do {
      const piece = await watch.next();
      if (piece.case === "snapshotPage") versions.push(piece.value.version);
    } while (versions.at(-1) !== 11n);

    expect(versions).toEqual([...versions].sort((a, b) => Number(a - b)));
    expect(new Set(versions).size).toBe(versions.length);
    watch.end();
  });

  it("goes on without the database, and catches up when it is back", async () => {
    await publishSample(first);
    // The second instance has read it once it hands it out.
    const early = new TestWatch(second);
    for (let count = 0; count < 4; count++) await early.next();
    early.end();
    harness.postgres.freeze();
    const watch = new TestWatch(second);
    try {
      for (let count = 0; count < 4; count++) await watch.next();
    } finally {
      harness.postgres.thaw();
    }
    await publishSample(first);

    expect(await watch.next()).toMatchObject({ case: "snapshotPage", value: { version: 2n } });
    watch.end();
  });

  it("keeps sending what is whole when a part of the database was damaged", async () => {
    await publishSample(first);
    await publishSample(first, undefined, { allAtOnce: true });
    await harness.pool.query("update snapshot set content = '\\x00' where region = 'eu' and version = 2");
    await harness.pool.query("update keyring set digest = '\\x00'");

    const third = await harness.start();
    const eu = new TestWatch(third);
    const us = new TestWatch(third, { region: "us" });

    expect((await eu.nextAny()).piece).toMatchObject({
      case: "heartbeat",
      value: { snapshotVersion: 0n, keyringVersion: 0n },
    });
    expect(await us.next()).toMatchObject({ case: "snapshotPage", value: { version: 2n } });
    eu.end();
    us.end();
  });

  it("sends what was published while the connection that listens was lost", async () => {
    await publishSample(first);
    const watch = new TestWatch(second);
    for (let count = 0; count < 4; count++) await watch.next();

    await harness.pool.query("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'");
    await publishSample(first);

    expect(await watch.next()).toMatchObject({ case: "snapshotPage", value: { version: 2n } });
    watch.end();
  });
});

describe("a router's copy", () => {
  it("applies policy and keys as they change, and reports each; any instance of policy lists it", async () => {
    const ending = new AbortController();
    const hold = new SnapshotHold({ region: "eu", trust: [verifier] });
    const name = { region: "eu", instance: "eu-1", boot: "boot1", build: "0.1.0" };
    const options = { client: second.snapshots, name, clock: systemClock, log, signal: ending.signal };
    const reporter = new SnapshotReporter(options);
    const watching = watchSnapshots({ ...options, hold, reporter });
    await publishSample(first);
    const { key } = await makeSampleKey(first);
    const keyId = key?.keyId as string;

    await until(() => hold.current()?.keyringVersion === 2n, "applying the key");
    await first.keys.revokeKey({ requestId: randomUUID(), organisation: "acme", keyId });
    await until(() => hold.current()?.keyringVersion === 3n, "applying the revocation");
    const list = async () => (await first.releases.listInstances({})).instances[0];
    const isApplied = ({ phase, version }: { phase: SnapshotPhase; version: bigint }, wanted: bigint) =>
      phase === SnapshotPhase.APPLIED && version === wanted;
    await until(async () => {
      const { snapshot, keyring } = (await list()) ?? {};
      return snapshot !== undefined && keyring !== undefined && isApplied(snapshot, 1n) && isApplied(keyring, 3n);
    }, "reporting");

    const { instances, latest } = await first.releases.listInstances({});
    expect(instances).toMatchObject([
      {
        ...name,
        connected: true,
        snapshot: { version: 1n, reportedVersion: 1n, phase: SnapshotPhase.APPLIED, reasons: [] },
        keyring: { version: 3n, reportedVersion: 3n, phase: SnapshotPhase.APPLIED },
      },
    ]);
    expect(latest).toMatchObject([
      { region: "eu", snapshotVersion: 1n, keyringVersion: 3n, policyVersion: 1n },
      { region: "us", snapshotVersion: 1n, keyringVersion: 3n },
    ]);

    ending.abort();
    await watching;
    await until(async () => (await list())?.connected === false, "noting that it hung up");
  });

  it("is listed with the reasons when it refuses a version", async () => {
    await first.snapshots.reportSnapshot({
      region: "us",
      instance: "us-1",
      boot: "b",
      kind: SnapshotKind.SNAPSHOT,
      version: 7n,
      phase: SnapshotPhase.REFUSED,
      reasons: ["FEATURE: it requires another"],
      runningVersion: 6n,
    });

    expect((await second.releases.listInstances({ region: "us" })).instances).toMatchObject([
      {
        instance: "us-1",
        connected: false,
        snapshot: {
          version: 6n,
          reportedVersion: 7n,
          phase: SnapshotPhase.REFUSED,
          reasons: ["FEATURE: it requires another"],
        },
        keyring: { version: 0n },
      },
    ]);
    expect((await second.releases.listInstances({ region: "eu" })).instances).toEqual([]);
  });

  it("stays listed with a refusal when it speaks of an older version afterwards, until it lives anew", async () => {
    const report = { region: "us", instance: "us-1", kind: SnapshotKind.SNAPSHOT };
    const refused = { version: 7n, phase: SnapshotPhase.REFUSED, reasons: ["DIGEST: another"], runningVersion: 0n };
    const applied = { version: 6n, phase: SnapshotPhase.APPLIED, runningVersion: 6n };
    const list = async () => (await second.releases.listInstances({})).instances[0]?.snapshot;

    await first.snapshots.reportSnapshot({ ...report, ...refused, boot: "one" });
    await first.snapshots.reportSnapshot({ ...report, ...applied, boot: "one" });
    expect(await list()).toMatchObject({ version: 6n, reportedVersion: 7n, phase: SnapshotPhase.REFUSED });

    await first.snapshots.reportSnapshot({
      ...report,
      ...refused,
      version: 0n,
      reasons: ["SIGNATURE: bad"],
      boot: "one",
    });
    expect(await list()).toMatchObject({ phase: SnapshotPhase.REFUSED, reasons: ["SIGNATURE: bad"] });

    await first.snapshots.reportSnapshot({ ...report, ...applied, boot: "two" });
    expect(await list()).toMatchObject({ version: 6n, reportedVersion: 6n, phase: SnapshotPhase.APPLIED, reasons: [] });
  });

  it("is listed without what an earlier life said, once a new life watches", async () => {
    const life = { region: "us", instance: "us-1" };
    await first.snapshots.reportSnapshot({
      ...life,
      boot: "one",
      kind: SnapshotKind.SNAPSHOT,
      version: 1n,
      phase: SnapshotPhase.APPLIED,
      runningVersion: 1n,
    });

    const watch = new TestWatch(first, { ...life, boot: "two" });
    await watch.nextAny();

    const list = async () => (await second.releases.listInstances({})).instances[0];
    await until(async () => (await list())?.boot === "two", "noting the new life");
    expect(await list()).toMatchObject({ connected: true, snapshot: { version: 0n } });
    watch.end();
  });

  it("is forgotten a day after its last word, and shown as gone soon after it was last seen", async () => {
    const report = { region: "us", kind: SnapshotKind.KEYRING, version: 1n, phase: SnapshotPhase.APPLIED, boot: "b" };
    await first.snapshots.reportSnapshot({ ...report, instance: "old" });
    await first.snapshots.reportSnapshot({ ...report, instance: "young" });
    await harness.pool.query(`update instance set watched_at = now() - interval '20 seconds', watched_by = 'another'`);
    await harness.pool.query(
      `update instance_report set reported_at = now() - case instance when 'old' then interval '25 hours' else interval '23 hours' end`,
    );
    await harness.pool.query(`update instance set watched_at = now() - interval '25 hours' where instance = 'old'`);
    expect((await second.releases.listInstances({})).instances).toMatchObject([
      { connected: false },
      { connected: false },
    ]);

    await harness.start();

    await until(async () => (await second.releases.listInstances({})).instances.length === 1, "forgetting");
    expect((await second.releases.listInstances({})).instances).toMatchObject([{ instance: "young" }]);
  });

  it("is listed page by page, by region and name", async () => {
    for (const [region, instance] of [
      ["us", "b"],
      ["eu", "z"],
      ["us", "a"],
    ] as const) {
      await first.snapshots.reportSnapshot({
        region,
        instance,
        boot: "b",
        kind: SnapshotKind.KEYRING,
        version: 1n,
        phase: SnapshotPhase.RECEIVED,
      });
    }
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await second.releases.listInstances({ pageSize: 1, pageToken });
      seen.push(...page.instances.map(({ region, instance }) => `${region}/${instance}`));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect(seen).toEqual(["eu/z", "us/a", "us/b"]);
  });
});

describe("the outbox", () => {
  async function collect(stream: StreamName, enough: (payloads: Uint8Array[]) => boolean): Promise<Uint8Array[]> {
    const bus = await connectBus({ urls: [harness.nats.url], name: "test", log });
    const ending = new AbortController();
    const payloads: Uint8Array[] = [];
    const consuming = consume(bus, {
      stream,
      durable: `test-${randomUUID()}`,
      signal: ending.signal,
      handle: async (messages) => {
        payloads.push(...messages.map(({ payload }) => payload));
      },
    });
    try {
      await until(() => enough(payloads), `hearing ${stream}`);
    } finally {
      ending.abort();
      await consuming;
      await bus.close();
    }
    return payloads;
  }

  it("announces each version on the bus", async () => {
    const { version } = await publishSample(first);

    const isOurs = (payload: Uint8Array) =>
      Buffer.compare(fromBinary(PolicyPublishedSchema, payload).snapshots[0]!.digest, version!.snapshots[0]!.digest) ===
      0;
    const payloads = await collect("POLICY", (all) => all.some(isOurs));

    const event = fromBinary(PolicyPublishedSchema, payloads.find(isOurs)!);
    expect(event).toMatchObject({ organisation: "acme", policyVersion: 1n, contentOf: 0n });
    expect(event.snapshots.map(({ region }) => region)).toEqual(["eu", "us"]);
  });

  it("brings one record of every change to audit, numbered without a gap, and keeps them until audit has committed them", async () => {
    const requestId = randomUUID();
    await publishSample(first, undefined, { requestId, comment: "why" });
    const { key } = await makeSampleKey(second);
    await first.keys.revokeKey({ requestId: randomUUID(), organisation: "acme", keyId: key!.keyId, comment: "leaked" });

    const boot = async () =>
      (await harness.pool.query("select boot from outbox_lane where lane = 'audit'")).rows[0]?.boot;
    await until(async () => (await boot()) !== undefined, "numbering");
    const ours = await boot();
    const facts = (all: Uint8Array[]) =>
      all
        .flatMap((payload) => fromBinary(AuditRecordedBatchSchema, payload).records)
        .filter(({ producer }) => producer?.boot === ours);
    const seqs = (all: Uint8Array[]) => new Set(facts(all).map(({ producer }) => producer?.seq));
    const payloads = await collect("AUDIT", (all) => seqs(all).size === 4);

    const bySeq = new Map(facts(payloads).map((fact) => [fact.producer?.seq, fact]));
    const records = [1n, 2n, 3n, 4n].map((seq) => fromBinary(RecordSchema, bySeq.get(seq)!.record));
    expect(records).toMatchObject([
      {
        region: "control",
        instance: "policy",
        organisation: "acme",
        act: {
          case: "policyChange",
          value: { requestId, version: 1n, comment: "why", snapshots: [{ region: "eu" }, { region: "us" }] },
        },
      },
      {
        act: {
          case: "releaseChange",
          value: { requestId, policyVersion: 1n, after: ReleaseState.DONE, allAtOnce: true },
        },
      },
      {
        act: {
          case: "keyChange",
          value: { keyId: key!.keyId, keyrings: [{ region: "eu", version: 2n }, { region: "us" }] },
        },
      },
      { act: { case: "keyChange", value: { keyId: key!.keyId, comment: "leaked" } } },
    ]);
    expect((await harness.pool.query("select seq from outbox where lane = 'audit' order by seq")).rows).toHaveLength(4);
  });

  it("forgets a record that audit has committed", async () => {
    await first.stop();
    await second.stop();
    const instance = await harness.start({ watermark: () => 1n });
    await publishSample(instance);
    await makeSampleKey(instance);

    const left = async () =>
      (await harness.pool.query("select seq from outbox where lane = 'audit'")).rows.map(({ seq }) => seq);
    // The others are numbered and stay; the first is gone.
    await until(async () => (await left()).join() === "2,3", "forgetting the first record");
  });
});
