import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { createBootId } from "../../shared/ids.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import type { Accounting } from "./accounting.ts";
import {
  type BegunCall,
  beginCall,
  SAMPLE_CALLER,
  SAMPLE_MS,
  sampleAttempt,
  sampleCall,
  sampleOutcome,
  sampleTarget,
} from "./calls.fixture.ts";
import { EARLIER_IDENTITY, EARLIER_SEGMENT } from "./earlier-spool.fixture.ts";
import { readLeftovers } from "./leftover.ts";
import { openAccounting } from "./open-accounting.ts";
import { Owners } from "./owners.fixture.ts";
import type { Roads } from "./roads.ts";

const log = createLog({ service: "test", level: "silent" });
const roots: string[] = [];
const clocks: ManualClock[] = [];

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

function makeRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "weir-accounting-"));
  roots.push(root);
  return root;
}

async function open(root: string, roads: Roads, limitBytes = 2 ** 20): Promise<[Accounting, ManualClock]> {
  const clock = new ManualClock(SAMPLE_MS);
  clocks.push(clock);
  const producer = { region: "eu", instance: "eu-1", boot: createBootId() };
  const accounting = await openAccounting({ producer, directory: root, limitBytes, roads, log, clock });
  return [accounting, clock];
}

/** Lets the clock run until something is so; it never is: the test times out. */
async function until(clock: ManualClock, isSo: () => boolean): Promise<void> {
  await vi.waitFor(
    () => {
      clock.advance(50);
      if (!isSo()) throw new Error("not yet");
    },
    { timeout: 10_000, interval: 1 },
  );
}

async function close(accounting: Accounting, clock: ManualClock): Promise<void> {
  let isClosed = false;
  const closed = accounting.close(3_600_000).then(() => {
    isClosed = true;
  });
  await until(clock, () => isClosed);
  await closed;
}

const livesIn = (root: string) => readdirSync(root).length;

describe("accounting", () => {
  it("a settled call reaches both owners once, and nothing stays on disk after an orderly end", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const [accounting, clock] = await open(root, owners);
    const started = sampleCall();
    const settled = await (await beginCall(accounting, started)).settle();
    await until(clock, () => owners.usages.size === 1 && owners.records.size === 1);
    expect(settled.costNanos).toBe(450_000n);
    expect(owners.usages.get(started.eventId)?.attempts[0]?.lines.map(({ costNanos }) => costNanos)).toEqual([
      250_000n,
      200_000n,
    ]);
    const record = fromBinary(RecordSchema, owners.records.get(started.eventId)!);
    expect(record.act).toMatchObject({ case: "call", value: { outcome: OutcomeKind.ANSWERED, model: "small" } });
    await close(accounting, clock);
    expect(livesIn(root)).toBe(0);
  });

  it("a call is settled exactly once: the second time is an error and writes nothing", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const [accounting, clock] = await open(root, owners);
    const call = await beginCall(accounting);
    await call.settle();
    expect(() => call.open.settle(sampleOutcome())).toThrow(expect.objectContaining({ reason: "INTERNAL" }));
    await close(accounting, clock);
    expect([...owners.seqs.values()].map((seqs) => seqs.size)).toEqual([1, 1]);
  });

  it("calls of a killed router are settled by its successor at their bound, with their own ids", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [killed] = await open(root, owners);
    const targets = [sampleTarget("first"), sampleTarget("second")];
    const candidates = targets.map((target) => ({ target, priority: 0, weight: 1, draw: 1 }));
    const [answered, open1, open2] = [sampleCall(), sampleCall(), sampleCall({ candidates, requestBytes: 36 })];
    const last = sampleCall();
    await (await beginCall(killed, answered)).settle();
    await beginCall(killed, open1);
    const { usage: _, firstContentAtMs: __, ...failed } = sampleAttempt({ target: targets[0]!, providerStatus: 500 });
    const { open: retried } = await beginCall(killed, open2);
    retried.attemptStarted(targets[1]!, SAMPLE_MS + 9, [
      { ...failed, outcome: OutcomeKind.FAILED, reason: "PROVIDER_FAILED" },
    ]);
    // One that begins after it is on disk after it.
    await (await beginCall(killed, last)).settle();
    owners.isBusDown = false;

    const [successor, clock] = await open(root, owners);
    await until(clock, () => owners.usages.size === 4 && owners.records.size === 4);

    expect(owners.usages.get(answered.eventId)?.outcome).toBe(OutcomeKind.ANSWERED);
    const first = owners.usages.get(open1.eventId)!;
    expect(first).toMatchObject({ outcome: OutcomeKind.ABANDONED, attempts: [{ source: UsageSource.BOUNDED }] });
    expect(first.attempts[0]!.lines.map(({ quantity }) => quantity)).toEqual([464n, 1_000n]);
    const second = owners.usages.get(open2.eventId)!;
    expect(second.attempts).toMatchObject([
      { target: "first", outcome: OutcomeKind.FAILED, lines: [] },
      { target: "second", outcome: OutcomeKind.ABANDONED, source: UsageSource.BOUNDED },
    ]);
    expect(second.attempts[1]!.lines.map(({ quantity }) => quantity)).toEqual([100n, 1_000n]);
    await until(clock, () => livesIn(root) === 1);
    await close(successor, clock);
    expect(livesIn(root)).toBe(0);
  });

  it("the note of a further attempt holds what is billed of the earlier ones, however long their errors are", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [killed] = await open(root, owners);
    const targets = [sampleTarget("first"), sampleTarget("second")];
    const candidates = targets.map((target) => ({ target, priority: 0, weight: 1, draw: 1 }));
    const started = sampleCall({ candidates });
    const { open: retried } = await beginCall(killed, started);
    const error = new WeirError("ARGUMENT_INVALID", "Cannot write request", { facts: { field: "x".repeat(2 ** 21) } });
    const refused = { ...sampleAttempt({ target: targets[0]!, reason: "ARGUMENT_INVALID" }), error };

    retried.attemptStarted(targets[1]!, SAMPLE_MS + 9, [refused]);

    owners.isBusDown = false;
    const [successor, clock] = await open(root, owners);
    await until(clock, () => owners.usages.size === 1);
    expect(owners.usages.get(started.eventId)?.attempts).toMatchObject([
      { target: "first", reason: "ARGUMENT_INVALID", lines: [{ quantity: 100n }, { quantity: 20n }] },
      { target: "second", outcome: OutcomeKind.ABANDONED },
    ]);
    await close(successor, clock);
  });

  it("what an earlier build wrote is shipped and settled as if it were of this one", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const life = join(root, EARLIER_IDENTITY.boot);
    mkdirSync(life);
    writeFileSync(join(life, "identity.json"), JSON.stringify(EARLIER_IDENTITY));
    writeFileSync(join(life, "00000001.segment"), EARLIER_SEGMENT);

    const [accounting, clock] = await open(root, owners);
    await until(clock, () => owners.usages.size === 3 && owners.records.size === 3);

    const usageOf = (last: number) => owners.usages.get(`019b7000-0000-7000-8000-00000000000${last}`)!;
    expect(usageOf(1)).toMatchObject({ outcome: OutcomeKind.ANSWERED, producer: { boot: "earlierlife", seq: 1n } });
    expect(usageOf(2)).toMatchObject({
      outcome: OutcomeKind.ABANDONED,
      caller: SAMPLE_CALLER,
      versions: { snapshotVersion: 7n, keyringVersion: 9n },
      attempts: [{ target: "openai-eu/small", source: UsageSource.BOUNDED }],
    });
    expect(usageOf(2).attempts[0]!.lines.map(({ quantity }) => quantity)).toEqual([464n, 1_000n]);
    expect(usageOf(3)).toMatchObject({
      caller: { identity: { case: "subject", value: 'user"é' }, step: 2n ** 60n, runId: "run", endUser: "person é" },
      attempts: [
        { target: "first", outcome: OutcomeKind.FAILED, providerStatus: 500, lines: [] },
        { target: "second", outcome: OutcomeKind.ABANDONED, lines: [{ quantity: 100n }, { quantity: 700n }] },
      ],
    });
    const { act } = fromBinary(RecordSchema, owners.records.get(usageOf(3).eventId)!);
    expect(act.case === "call" && act.value.limits).toEqual(["fair", "key"]);
    expect(
      act.case === "call" && act.value.candidates.map(({ target, result }) => [target, result.value]),
    ).toMatchObject([
      ["first", { priority: 0, weight: 3, draw: 7n }],
      ["second", { priority: 1, weight: 1, draw: 1_000_000_000n }],
      ["third", "PROVIDER_CREDENTIAL"],
    ]);
    await until(clock, () => livesIn(root) === 1);
    await close(accounting, clock);
  });

  it("a recovery that is itself killed, however often, leaves one usage for each call", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const calls = Array.from({ length: 5 }, () => sampleCall());
    const [killed] = await open(root, owners);
    for (const call of calls) await beginCall(killed, call);
    await open(root, owners);
    await open(root, owners);
    owners.isBusDown = false;
    const [successor, clock] = await open(root, owners);
    await until(clock, () => owners.usages.size === 5 && livesIn(root) === 1);
    const sent = [...owners.seqs].filter(([key]) => key.startsWith("usage")).map(([, seqs]) => seqs.size);
    expect(sent).toEqual([5]);
    await close(successor, clock);
  });

  it("a recovery that is killed before it is noted leaves one usage for each call", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [killed] = await open(root, owners);
    await beginCall(killed);
    await open(root, owners);
    for (const life of readdirSync(root)) rmSync(join(root, life, "recovered"), { force: true });
    owners.isBusDown = false;

    const [successor, clock] = await open(root, owners);
    await until(clock, () => owners.usages.size === 1 && livesIn(root) === 1);

    const sent = [...owners.seqs].filter(([key]) => key.startsWith("usage")).map(([, seqs]) => seqs.size);
    expect(sent).toEqual([1]);
    await close(successor, clock);
  });

  it("a recovery whose disk takes nothing before it is killed leaves one usage for each call", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const call = sampleCall();
    await beginCall((await open(root, owners))[0], call);
    // Its first entry begins another file, which the disk does not let it.
    const full = { region: "eu", instance: "eu-1", boot: createBootId() };
    mkdirSync(join(root, full.boot));
    writeFileSync(join(root, full.boot, "00000002.segment"), "");
    const clock = new ManualClock(SAMPLE_MS);
    const limitBytes = 2 ** 20;
    await openAccounting({ producer: full, directory: root, limitBytes, segmentBytes: 0, roads: owners, log, clock });
    owners.isBusDown = false;

    const [successor, later] = await open(root, owners);
    await until(later, () => owners.usages.has(call.eventId) && livesIn(root) === 1);

    expect(owners.usages.size).toBe(1);
    await close(successor, later);
  });

  it("a life whose calls a successor has settled has none open any more", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [killed] = await open(root, owners);
    await (await beginCall(killed)).settle();
    await beginCall(killed);

    await open(root, owners);

    expect((await readLeftovers(root, log)).map(({ open: calls }) => calls.size)).toEqual([0, 0]);
  });

  it("what an earlier life has sent, and its owner has, is not sent again, and the rest is", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isAway = true;
    const [killed, stopped] = await open(root, owners);
    await (await beginCall(killed)).settle();
    await until(stopped, () => owners.messageIds.length === 2);
    await (await beginCall(killed)).settle();
    owners.isAway = false;

    const [successor, clock] = await open(root, owners);
    await until(clock, () => livesIn(root) === 1);

    const seqs = owners.messageIds.map((id) => id.replace(/ .*\./, " ")).sort();
    expect(seqs).toEqual(["record 1-1", "record 2-2", "usage 1-1", "usage 2-2"]);
    await close(successor, clock);
  });

  it("facts that the bus did not take go when it is back, under the name that they had", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const refused: string[] = [];
    const publish: Roads["publish"] = async (kind, producer, payload, messageId, signal) => {
      if (owners.isBusDown) refused.push(`${kind} ${messageId}`);
      await owners.publish(kind, producer, payload, messageId, signal);
    };
    owners.isBusDown = true;
    const [accounting, clock] = await open(root, { ...owners, publish });
    await (await beginCall(accounting)).settle();
    await until(clock, () => new Set(refused).size === 2);
    owners.isBusDown = false;

    await until(clock, () => owners.messageIds.length === 2);

    expect(new Set(owners.messageIds)).toEqual(new Set(refused));
    await close(accounting, clock);
  });

  it("a batch of which the bus did not say that it has it stays as it was, since it may still be sent", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const failed: { payload: Uint8Array; copy: Uint8Array }[] = [];
    const publish: Roads["publish"] = async (kind, producer, payload, messageId, signal) => {
      await owners.publish(kind, producer, payload, messageId, signal);
      if (kind !== "usage" || failed.length > 0) return;
      failed.push({ payload, copy: payload.slice() });
      throw new Error("no acknowledgement");
    };
    const [accounting, clock] = await open(root, { ...owners, publish });
    await (await beginCall(accounting)).settle();
    await until(clock, () => failed.length === 1);

    await (await beginCall(accounting)).settle();
    await until(clock, () => owners.usages.size === 2);

    expect(failed[0]!.payload).toEqual(failed[0]!.copy);
    await close(accounting, clock);
  });

  it("facts wait on disk while the bus is away, and go when it is back", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [accounting, clock] = await open(root, owners);
    for (let index = 0; index < 20; index++) await (await beginCall(accounting)).settle();
    await clock.whenSleeping(2);
    clock.advance(60_000);
    owners.isBusDown = false;
    await until(clock, () => owners.usages.size === 20 && owners.records.size === 20);
    await close(accounting, clock);
  });

  it("what the bus took and lost is sent again after ten seconds, past the server's memory of repeats", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isLosing = true;
    const [accounting, clock] = await open(root, owners);
    const openedMs = clock.monotonicMs();
    await until(clock, () => clock.monotonicMs() - openedMs > 60_000);
    await (await beginCall(accounting)).settle();
    await until(clock, () => owners.messageIds.length === 2);
    owners.isLosing = false;
    const sentMs = clock.monotonicMs();
    await until(clock, () => owners.usages.size === 1 && owners.records.size === 1);
    expect(clock.monotonicMs() - sentMs).toBeGreaterThan(9_000);
    expect(new Set(owners.messageIds).size).toBe(owners.messageIds.length);
    await close(accounting, clock);
  });

  it("while an owner is away nothing is sent twice", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isAway = true;
    const [accounting, clock] = await open(root, owners);
    await (await beginCall(accounting)).settle();
    await until(clock, () => owners.messageIds.length === 2);
    const startMs = clock.monotonicMs();
    await until(clock, () => clock.monotonicMs() - startMs > 60_000);
    expect(owners.messageIds).toHaveLength(2);
    owners.isAway = false;
    await close(accounting, clock);
    expect(livesIn(root)).toBe(0);
  });

  it("an owner that was away gets its time before its facts are sent again", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isAway = true;
    owners.isLosing = true;
    const [accounting, clock] = await open(root, owners);
    await (await beginCall(accounting)).settle();
    const awayMs = clock.monotonicMs();
    await until(clock, () => clock.monotonicMs() - awayMs > 60_000);
    owners.isAway = false;
    const backMs = clock.monotonicMs();

    await until(clock, () => clock.monotonicMs() - backMs > 8_000);

    expect(owners.messageIds).toHaveLength(2);
    owners.isLosing = false;
    await close(accounting, clock);
  });

  it("facts that stay lost are sent again at ever longer intervals", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isLosing = true;
    const [accounting, clock] = await open(root, owners);
    await (await beginCall(accounting)).settle();
    const usages = () => owners.messageIds.filter((id) => id.startsWith("usage")).length;
    const sentMs: number[] = [];
    for (let count = 1; count <= 4; count++) {
      await until(clock, () => usages() === count);
      sentMs.push(clock.monotonicMs());
    }

    const [first, second, third] = sentMs.slice(1).map((ms, index) => ms - sentMs[index]!);

    expect(second).toBeGreaterThan(first! * 1.5);
    expect(third).toBeGreaterThan(second! * 1.5);
    owners.isLosing = false;
    await close(accounting, clock);
  });

  it("refusals of a known key leave one record a minute, those without a key nothing at all", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    const [accounting, clock] = await open(root, owners);
    const denial = { kind: "denial", reason: "RATE_LIMITED", message: "", facts: {} } as const;
    for (let index = 0; index < 1_000; index++) accounting.refused({ ...denial, reason: "KEY_UNKNOWN" }, clock.nowMs());
    for (let index = 0; index < 30; index++) accounting.refused({ ...denial, caller: SAMPLE_CALLER }, clock.nowMs());
    clock.advance(61_000);
    await until(clock, () => owners.records.size === 1);
    const [bytes] = owners.records.values();
    expect(fromBinary(RecordSchema, bytes!).act).toMatchObject({ case: "refusal", value: { count: 30n } });
    await close(accounting, clock);
    expect(owners.usages.size).toBe(0);
    expect(owners.records.size).toBe(1);
  });

  it("a full spool refuses what begins and settles what has begun", async () => {
    const [root, owners] = [makeRoot(), new Owners()];
    owners.isBusDown = true;
    const [accounting, clock] = await open(root, owners, 64 * 1024);
    const calls: BegunCall[] = [];
    const fill = async () => {
      for (;;) calls.push(await beginCall(accounting));
    };
    await expect(fill()).rejects.toMatchObject({ reason: "SPOOL_FULL", retryAfterMs: 5_000 });
    for (const call of calls) await call.settle();
    owners.isBusDown = false;
    await until(clock, () => owners.usages.size === calls.length);
    await close(accounting, clock);
  });
});
