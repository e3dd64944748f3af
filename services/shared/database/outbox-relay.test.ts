import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { ManualClock, systemClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { appendToOutbox, outboxMigration } from "./outbox.ts";
import { OutboxRelay, type OutboxRelayOptions, type RelayedFact } from "./outbox-relay.ts";
import { createPool, type Pool, query } from "./pool.ts";
import { transaction } from "./transaction.ts";

const log = createLog({ service: "test", level: "silent" });
let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("policy"), log });
  await query(pool, outboxMigration);
}, 60_000);

beforeEach(async () => {
  await query(pool, "truncate outbox, outbox_lane");
});

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

const append = (...names: string[]): Promise<void> =>
  transaction(pool, async (client) => {
    for (const name of names) {
      await appendToOutbox(client, {
        subject: "audit.control.policy",
        eventId: randomUUID(),
        payload: Buffer.from(name),
      });
    }
  });

// Remembers what was told, and resolves `until(n)` once n facts were.
class Receiver {
  readonly told: { seq: bigint; name: string }[] = [];
  readonly resends = new Set<number>();
  #waiting: { count: number; resolve: () => void }[] = [];

  readonly publish = async (facts: readonly RelayedFact[]): Promise<void> => {
    for (const { resend } of facts) this.resends.add(resend);
    for (const { seq, payload } of facts) this.told.push({ seq, name: Buffer.from(payload).toString() });
    for (const { count, resolve } of this.#waiting) if (this.told.length >= count) resolve();
  };

  until(count: number): Promise<void> {
    if (this.told.length >= count) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ count, resolve });
    return promise;
  }
}

const createRelay = (options: Partial<OutboxRelayOptions> & Pick<OutboxRelayOptions, "publish">): OutboxRelay =>
  new OutboxRelay({ pool, lane: "audit", clock: systemClock, log, intervalMs: 20, ...options });

async function waitFor(claim: () => Promise<boolean>): Promise<void> {
  while (!(await claim())) await systemClock.sleep(10);
}

const isEmpty = async (): Promise<boolean> => (await query(pool, "select 1 from outbox")).length === 0;

it("numbers facts without a gap in the order of their commits, a rollback included", async () => {
  await append("one");
  await transaction(pool, async (client) => {
    await appendToOutbox(client, { subject: "audit.control.policy", eventId: randomUUID(), payload: Buffer.of(1) });
    throw new Error("no");
  }).catch(() => {});
  await append("two", "three");
  const receiver = new Receiver();
  const relay = createRelay({ publish: receiver.publish });

  relay.start();
  await receiver.until(3);
  await relay.stop();

  expect(receiver.told).toEqual([
    { seq: 1n, name: "one" },
    { seq: 2n, name: "two" },
    { seq: 3n, name: "three" },
  ]);
});

it("a relay that says nothing, frozen or cut off, does not keep another from the outbox for longer than its lease", async () => {
  const frozen = new ManualClock();
  const [first, second] = [new Receiver(), new Receiver()];
  const leader = createRelay({ publish: first.publish, clock: frozen, leaseMs: 200 });
  await append("one");
  leader.start();
  await first.until(1);
  await frozen.whenSleeping();
  const successor = createRelay({ publish: second.publish });

  onTestFinished(() => Promise.all([leader.stop(), successor.stop()]).then(() => {}));
  successor.start();
  await append("two");
  await second.until(1);

  expect(second.told).toEqual([{ seq: 2n, name: "two" }]);
});

it("keeps a fact until the receiver's watermark has passed it", async () => {
  let watermark = 0n;
  await append("one", "two");
  const receiver = new Receiver();
  const pending: number[] = [];
  const relay = createRelay({
    publish: receiver.publish,
    getWatermark: async () => watermark,
    onPending: (count) => void pending.push(count),
  });

  relay.start();
  await receiver.until(2);
  watermark = 1n;
  await waitFor(async () => (await query(pool, "select seq from outbox")).length === 1);
  watermark = 2n;
  await waitFor(isEmpty);
  await waitFor(async () => pending.at(-1) === 0);
  await relay.stop();

  expect(receiver.told).toHaveLength(2);
  expect([...new Set(pending)]).toEqual([2, 1, 0]);
});

it("loses no fact whose number the receiver has from before the database was set back: all is told as another producer's", async () => {
  await query(pool, "insert into outbox_lane (lane, boot, last_seq) values ('audit', 'before', 3)");
  await append("one", "two");
  const told: string[] = [];
  const relay = createRelay({
    publish: async (facts) => {
      for (const { boot, seq, payload } of facts)
        told.push(`${boot === "before" ? "old" : "new"} ${seq} ${Buffer.from(payload).toString()}`);
    },
    // It has 9 facts of the life that is called "before", of which the database remembers three.
    getWatermark: async (boot) => (boot === "before" ? 9n : BigInt(told.length)),
  });
  onTestFinished(() => relay.stop());

  relay.start();
  await waitFor(isEmpty);

  expect(told).toEqual(["new 1 one", "new 2 two"]);
});

it("tells a fact again, under its seq, when the watermark has not moved for the time to resend", async () => {
  const clock = new ManualClock();
  await append("one");
  const receiver = new Receiver();
  const relay = createRelay({ publish: receiver.publish, getWatermark: async () => 0n, clock, resendAfterMs: 10_000 });

  relay.start();
  await receiver.until(1);
  clock.advance(10_000);
  relay.wake();
  await receiver.until(2);
  await relay.stop();

  expect(receiver.told).toEqual([
    { seq: 1n, name: "one" },
    { seq: 1n, name: "one" },
  ]);
  expect([...receiver.resends]).toEqual([0, 1]);
});

it("waits twice as long before it tells a fact a third time", async () => {
  const clock = new ManualClock();
  await append("one");
  const receiver = new Receiver();
  const relay = createRelay({ publish: receiver.publish, getWatermark: async () => 0n, clock, resendAfterMs: 10_000 });
  const told: number[] = [];

  relay.start();
  await clock.whenSleeping();
  for (let look = 0; look < 3; look++) {
    clock.advance(10_000);
    await clock.whenSleeping();
    told.push(receiver.told.length);
  }
  await relay.stop();

  expect(told).toEqual([2, 2, 3]);
});

it("tells nothing again while the receiver is away, and waits anew when it is back", async () => {
  const clock = new ManualClock();
  await append("one");
  const receiver = new Receiver();
  let isAway = true;
  const getWatermark = async () => {
    if (isAway) throw new Error("away");
    return 0n;
  };
  const relay = createRelay({ publish: receiver.publish, getWatermark, clock, resendAfterMs: 10_000 });
  const told: number[] = [];
  const lookAfter = async (ms: number) => {
    clock.advance(ms);
    await clock.whenSleeping();
    told.push(receiver.told.length);
  };

  relay.start();
  await clock.whenSleeping();
  await lookAfter(60_000);
  isAway = false;
  await lookAfter(9_000);
  await lookAfter(1_000);
  await relay.stop();

  expect(told).toEqual([1, 1, 2]);
});

it("tells facts while the receiver's watermark cannot be had, and forgets none", async () => {
  await append("one");
  const receiver = new Receiver();
  const relay = createRelay({
    publish: receiver.publish,
    getWatermark: async () => {
      throw new Error("away");
    },
  });

  relay.start();
  await receiver.until(1);
  await relay.stop();

  expect(await isEmpty()).toBe(false);
});

it("goes on with the next number after a restart, and tells again what a failed publish left", async () => {
  await append("one");
  const first = new Receiver();
  const relay = createRelay({ publish: first.publish });
  relay.start();
  await first.until(1);
  await relay.stop();
  await append("two");
  const second = new Receiver();
  let failures = 2;
  const next = createRelay({
    publish: async (facts) => {
      if (failures-- > 0) throw new Error("bus away");
      await second.publish(facts);
    },
  });

  next.start();
  await second.until(1);
  await next.stop();

  expect(second.told).toEqual([{ seq: 2n, name: "two" }]);
});

it("one of two relays tells; the other takes over when it stops", async () => {
  const [first, second] = [new Receiver(), new Receiver()];
  const relays = [createRelay({ publish: first.publish }), createRelay({ publish: second.publish })];
  await append("one");

  relays[0]!.start();
  await first.until(1);
  relays[1]!.start();
  await append("two");
  await first.until(2);
  await relays[0]!.stop();
  await append("three");
  await second.until(1);
  await relays[1]!.stop();

  expect(second.told).toEqual([{ seq: 3n, name: "three" }]);
});

it("serves only its lane", async () => {
  await transaction(pool, async (client) => {
    await appendToOutbox(client, { subject: "policy.acme.published", eventId: randomUUID(), payload: Buffer.of(1) });
  });
  await append("one");
  const receiver = new Receiver();
  const relay = createRelay({ publish: receiver.publish });

  relay.start();
  await receiver.until(1);
  await relay.stop();

  expect(await query(pool, "select subject from outbox")).toEqual([{ subject: "policy.acme.published" }]);
});
