import { AckPolicy } from "nats";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { startNats, startNatsMesh, type TestNats, type TestNatsMesh } from "../../../test/parts.ts";
import { systemClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { type Bus, connectBus } from "./bus.ts";
import { ACK_WAIT_MS, type BusMessage, type ConsumeOptions, consume } from "./consume.ts";
import { findLastMessage } from "./last-message.ts";
import { publish } from "./publish.ts";
import { ensureStream } from "./streams.ts";

const log = createLog({ service: "test", level: "silent" });
let nats: TestNats;

beforeAll(async () => {
  nats = await startNats();
}, 60_000);

beforeEach(async () => {
  // Each test starts with an empty server.
  await nats.kill();
  nats.forget();
  await nats.restart();
});

afterAll(async () => {
  await nats?.stop();
});

async function connect(url = nats.url): Promise<Bus> {
  const bus = await connectBus({ urls: [url], name: "test", log });
  onTestFinished(() => bus.close());
  return bus;
}

const send = (bus: Bus, id: string, region = "eu"): Promise<void> =>
  publish(bus, { subject: `usage.${region}.${region}-1`, payload: Buffer.from(id), messageId: id, timeoutMs: 1_000 });

// A server that is just restarting may be gone or not answer yet: a product tries again, and so does a test.
async function retry(act: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await act();
    } catch {
      await systemClock.sleep(20);
    }
  }
}

const sendForEver = (bus: Bus, id: string): Promise<void> => retry(() => send(bus, id));

/** Consumes in the background and remembers; a test waits for what has been handled. */
class Consuming {
  readonly handled: string[] = [];
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  #changed = Promise.withResolvers<void>();

  constructor(bus: Bus, options: Partial<ConsumeOptions> = {}) {
    this.#done = consume(bus, {
      stream: "USAGE",
      durable: "metering",
      signal: this.#stopping.signal,
      handle: async (messages) => this.take(messages),
      ...options,
    });
    onTestFinished(() => this.stop());
  }

  take(messages: readonly BusMessage[]): void {
    for (const { payload } of messages) this.handled.push(Buffer.from(payload).toString());
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async until(claim: (handled: readonly string[]) => boolean): Promise<void> {
    while (!claim(this.handled)) await this.#changed.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }
}

const ids = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `id-${from + index}`);
const has = (expected: readonly string[]) => (handled: readonly string[]) =>
  expected.every((id) => handled.includes(id));

describe("connectBus()", () => {
  it("returns while NATS is down, and connects when it comes up", async () => {
    await nats.kill();

    const bus = await connect();

    expect(bus.connected).toBe(false);
    await nats.restart();
    await bus.ready(AbortSignal.timeout(20_000));
    expect(bus.connected).toBe(true);
  });

  it("ready() gives up with UNAVAILABLE when its signal fires", async () => {
    const bus = await connect("nats://127.0.0.1:1");

    await expect(bus.ready(AbortSignal.timeout(50))).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("close() ends a wait for the connection", async () => {
    const bus = await connect("nats://127.0.0.1:1");
    const waiting = bus.ready();

    await bus.close();

    await expect(waiting).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });
});

describe("ensureStream()", () => {
  it("is safe to repeat and to run in several processes at once", async () => {
    const bus = await connect();

    await Promise.all([
      ensureStream(bus, "USAGE", "eu"),
      ensureStream(bus, "USAGE", "eu"),
      ensureStream(bus, "USAGE", "eu"),
    ]);
    await ensureStream(bus, "USAGE", "eu");

    await send(bus, "one");
  });

  it("brings a stream with other settings up to the table", async () => {
    const bus = await connect();
    const manager = await (await bus.ready()).jetstreamManager();
    await ensureStream(bus, "POLICY", "eu");
    await manager.streams.update("POLICY", { max_bytes: 1_000 });

    await ensureStream(bus, "POLICY", "eu");

    expect((await manager.streams.info("POLICY")).config.max_bytes).toBe(16 * 2 ** 20);
  });
});

describe("publish()", () => {
  it("takes a message id once", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    await send(bus, "one");
    await send(bus, "one");

    const manager = await (await bus.ready()).jetstreamManager();
    expect((await manager.streams.info("USAGE")).state.messages).toBe(1);
  });

  it("answers UNAVAILABLE when there is no stream", async () => {
    const bus = await connect();
    await bus.ready();

    await expect(send(bus, "one")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("answers UNAVAILABLE when the server is frozen, after its time-out", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    nats.freeze();
    onTestFinished(() => nats.thaw());

    const attempt = publish(bus, { subject: "usage.eu.eu-1", payload: Buffer.of(1), messageId: "x", timeoutMs: 200 });

    await expect(attempt).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("answers UNAVAILABLE at once while the connection is down, and when its signal fires", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const given = new AbortController();
    nats.freeze();
    const frozen = publish(bus, {
      subject: "usage.eu.eu-1",
      payload: Buffer.of(1),
      messageId: "x",
      timeoutMs: 60_000,
      signal: given.signal,
    });
    given.abort();
    await expect(frozen).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    nats.thaw();

    const lost = Promise.withResolvers<void>();
    const watching = new AbortController();
    bus.onChange((connected) => (connected ? undefined : lost.resolve()), watching.signal);
    await nats.kill();
    await lost.promise;
    watching.abort();

    await expect(send(bus, "one")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("is refused, not silently dropped, when the stream is full", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const manager = await (await bus.ready()).jetstreamManager();
    await manager.streams.update("USAGE", { max_bytes: 1_000 });
    await send(bus, "a".repeat(300));

    const error = await send(bus, "b".repeat(300)).catch((caught: unknown) => caught);

    expect(error).toMatchObject({ reason: "UNAVAILABLE" });
    expect(String(error)).toContain("full");
  });
});

describe("findLastMessage()", () => {
  it("asks for no message of a stream that has none, since the server may be making it", async () => {
    const bus = await connect();
    const connection = await bus.ready();
    const asked: string[] = [];
    connection.subscribe("$JS.API.STREAM.MSG.GET.*", { callback: (_, { subject }) => asked.push(subject) });
    const find = () => findLastMessage(bus, { stream: "USAGE", subject: "usage.eu.eu-1" });

    const withoutStream = await find();
    await ensureStream(bus, "USAGE", "eu");
    const withoutMessage = await find();
    await send(bus, "one");
    const withMessage = await find();
    await connection.flush();

    expect([withoutStream, withoutMessage, withMessage?.sequence]).toEqual([undefined, undefined, 1]);
    expect(asked).toEqual(["$JS.API.STREAM.MSG.GET.USAGE"]);
  });
});

describe("consume()", () => {
  it("handles what was there and what comes, and each message once while nothing breaks", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    for (const id of ids(5)) await send(bus, id);

    const consuming = new Consuming(bus, { batch: 3 });
    await consuming.until(has(ids(5)));
    for (const id of ids(5, 5)) await send(bus, id);
    await consuming.until(has(ids(10)));

    expect(consuming.handled).toEqual(ids(10));
  });

  it("waits for a stream that is not there yet", async () => {
    const bus = await connect();
    const consuming = new Consuming(bus);
    await bus.ready();

    await ensureStream(bus, "USAGE", "eu");
    await send(bus, "one");

    await consuming.until(has(["one"]));
  });

  it("makes the stream itself when it is told the region", async () => {
    const bus = await connect();
    const ids: string[] = [];
    const consuming: Consuming = new Consuming(bus, {
      region: "eu",
      handle: async (messages) => {
        ids.push(...messages.map(({ messageId }) => messageId));
        consuming.take(messages);
      },
    });
    await bus.ready();

    await sendForEver(bus, "one");
    await consuming.until(has(["one"]));

    expect(ids).toEqual(["one"]);
  });

  it("works when NATS comes up after it began", async () => {
    await nats.kill();
    const bus = await connect();
    const consuming = new Consuming(bus);

    await nats.restart();
    await retry(() => ensureStream(bus, "USAGE", "eu", { timeoutMs: 1_000 }));
    await sendForEver(bus, "one");

    await consuming.until(has(["one"]));
  });

  it("delivers a batch again when its handler throws, until it does not", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    await send(bus, "one");
    const deliveries: number[] = [];

    const consuming: Consuming = new Consuming(bus, {
      handle: async (messages) => {
        deliveries.push(messages[0]!.deliveries);
        if (deliveries.length < 3) throw new Error("database away");
        consuming.take(messages);
      },
    });
    await consuming.until(has(["one"]));
    await consuming.stop();

    expect(deliveries).toEqual([1, 2, 3]);
  });

  it("begins the next batch while the one before is handled, and no more than it may", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    for (const id of ids(6)) await send(bus, id);
    let open = 0;
    let most = 0;
    const two = Promise.withResolvers<void>();
    const consuming: Consuming = new Consuming(bus, {
      batch: 1,
      inFlight: 2,
      handle: async (messages) => {
        open += 1;
        most = Math.max(most, open);
        if (open === 2) two.resolve();
        // The first one ends only when a second one has begun.
        await two.promise;
        // A third one would begin now, before these end.
        await bus.ready().then((connection) => connection.flush());
        open -= 1;
        consuming.take(messages);
      },
    });

    await consuming.until(has(ids(6)));

    expect(most).toBe(2);
    expect([...consuming.handled].sort()).toEqual(ids(6));
  });

  it("a batch that fails comes again, and the one beside it is handled once", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    for (const id of ids(2)) await send(bus, id);
    const deliveries: Record<string, number> = {};
    const consuming: Consuming = new Consuming(bus, {
      batch: 1,
      inFlight: 2,
      handle: async (messages) => {
        const { messageId } = messages[0]!;
        deliveries[messageId] = messages[0]!.deliveries;
        if (messageId === "id-0" && deliveries[messageId] < 3) throw new Error("database away");
        consuming.take(messages);
      },
    });

    await consuming.until(has(ids(2)));
    await consuming.stop();

    expect(deliveries).toEqual({ "id-0": 3, "id-1": 1 });
    expect([...consuming.handled].sort()).toEqual(ids(2));
  });

  it("finishes and acknowledges all that is in hand when it is stopped", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    for (const id of ids(2)) await send(bus, id);
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const consuming: Consuming = new Consuming(bus, {
      batch: 1,
      inFlight: 3,
      handle: async (messages) => {
        consuming.take(messages);
        if (consuming.handled.length === 2) begun.resolve();
        await go.promise;
      },
    });
    await begun.promise;

    const stopped = consuming.stop();
    go.resolve();
    await stopped;

    const manager = await (await bus.ready()).jetstreamManager();
    let left = 1;
    while (left > 0) left = (await manager.streams.info("USAGE")).state.messages;
  });

  it("forgets what was acknowledged: the stream is empty when all is handled", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const consuming = new Consuming(bus);
    for (const id of ids(20)) await send(bus, id);
    await consuming.until(has(ids(20)));
    await consuming.stop();

    const manager = await (await bus.ready()).jetstreamManager();
    let left = 1;
    while (left > 0) left = (await manager.streams.info("USAGE")).state.messages;
  });

  it("loses nothing when the server is killed and restarted while messages are sent and handled", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const consuming = new Consuming(bus, { batch: 7 });
    const sending = (async () => {
      for (const id of ids(200)) await sendForEver(bus, id);
    })();

    for (const count of [30, 90]) {
      await consuming.until((handled) => handled.length >= count);
      await nats.kill();
      await nats.restart();
    }
    await sending;

    await consuming.until(has(ids(200)));
  }, 60_000);

  it("goes on when the server lost its disk and somebody made the stream again", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const consuming = new Consuming(bus);
    await send(bus, "before");
    await consuming.until(has(["before"]));

    await nats.kill();
    nats.forget();
    await nats.restart();
    await retry(() => ensureStream(bus, "USAGE", "eu", { timeoutMs: 1_000 }));
    await sendForEver(bus, "after");

    await consuming.until(has(["after"]));
  }, 60_000);

  it("goes on when its consumer was deleted", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const consuming = new Consuming(bus);
    await send(bus, "before");
    await consuming.until(has(["before"]));
    const manager = await (await bus.ready()).jetstreamManager();

    await manager.consumers.delete("USAGE", "metering");
    await send(bus, "after");

    await consuming.until(has(["after"]));
  }, 60_000);

  it("brings the settings of a consumer that is there up to date", async () => {
    const bus = await connect();
    await ensureStream(bus, "USAGE", "eu");
    const manager = await (await bus.ready()).jetstreamManager();
    await manager.consumers.add("USAGE", { durable_name: "metering", ack_policy: AckPolicy.Explicit, ack_wait: 9e11 });
    await send(bus, "one");

    const consuming = new Consuming(bus);
    await consuming.until(has(["one"]));

    expect((await manager.consumers.info("USAGE", "metering")).config.ack_wait).toBe(ACK_WAIT_MS * 1e6);
  });
});

describe("the bus of the development mesh", () => {
  let mesh: TestNatsMesh;

  beforeAll(async () => {
    mesh = await startNatsMesh();
  }, 60_000);
  afterAll(() => mesh?.stop());

  it("lets whoever takes messages in at its own stream, and at no other", async () => {
    const policy = await connect(mesh.url("policy"));
    const metering = await connect(mesh.url("metering"));
    const records = await connect(mesh.url("control-producer"));
    const audit = await connect(mesh.url("audit-eu"));
    const domain = "eu";

    await retry(() => ensureStream(metering, "USAGE", "eu", { domain }));
    await retry(() => ensureStream(policy, "RELEASED", "eu", { domain }));
    await ensureStream(policy, "POLICY", "control");
    await ensureStream(records, "AUDIT", "control");
    await ensureStream(audit, "AUDIT", "eu");

    const refusal = "NATS does not allow it";
    await expect(ensureStream(metering, "RELEASED", "eu", { domain })).rejects.toThrow(refusal);
    await expect(ensureStream(metering, "POLICY", "control")).rejects.toThrow(refusal);
    await expect(ensureStream(policy, "USAGE", "eu", { domain })).rejects.toThrow(refusal);
    await expect(ensureStream(policy, "RELEASED", "control")).rejects.toThrow(refusal);
    await expect(ensureStream(records, "POLICY", "control")).rejects.toThrow(refusal);
    await expect(ensureStream(audit, "USAGE", "eu")).rejects.toThrow(refusal);
  });

  it("lets a producer of a region at no stream, its own included: it publishes", async () => {
    const metering = await connect(mesh.url("metering"));
    const audit = await connect(mesh.url("audit-eu"));
    await retry(() => ensureStream(metering, "USAGE", "eu", { domain: "eu" }));
    await ensureStream(audit, "AUDIT", "eu");
    const router = await connect(mesh.url("router-eu"));
    const records = await connect(mesh.url("records-eu"));
    await Promise.all([router.ready(), records.ready()]);

    await send(router, "a usage");
    await publish(records, { subject: "audit.eu.eu-1", payload: Buffer.from("a record"), messageId: "a record" });

    const refusal = "NATS does not allow it";
    await expect(ensureStream(router, "USAGE", "eu")).rejects.toThrow(refusal);
    await expect(ensureStream(records, "AUDIT", "eu")).rejects.toThrow(refusal);
  });

  it("metering at the hub takes in the usages of a region through its domain, also after hub and leaf were killed", async () => {
    const router = await connect(mesh.url("router-eu"));
    const metering = await connect(mesh.url("metering"));
    const consuming = new Consuming(metering, { durable: "metering-eu", domain: "eu", region: "eu" });
    await sendForEver(router, "one");
    await consuming.until(has(["one"]));

    await mesh.hub.kill();
    await send(router, "two");
    await mesh.hub.restart();
    await consuming.until(has(["two"]));
    await mesh.leaves.eu.kill();
    await mesh.leaves.eu.restart();
    await sendForEver(router, "three");

    await consuming.until(has(["three"]));
  }, 90_000);
});
