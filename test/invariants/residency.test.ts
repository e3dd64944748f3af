import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AckPolicy, connect, type NatsConnection, StringCodec } from "nats";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPorts, REGIONS } from "../../cli/up/layout.ts";
import { type Nats, prepareNats } from "../../cli/up/nats.ts";
import { obtainNatsServer } from "../../cli/up/nats-binary.ts";
import { createSilentProgress } from "../../cli/up/progress.ts";
import { Supervisor } from "../../cli/up/supervisor.ts";
import { getFreeBasePort } from "../ports.ts";

// What the NATS set-up of `weir up` lets through and what it does not, with real servers: a hub and two leaves.

const text = StringCodec();
const directory = mkdtempSync(join(tmpdir(), "weir-residency-"));
const progress = createSilentProgress();
const supervisor = new Supervisor({ runDir: join(directory, "run"), logDir: join(directory, "logs"), progress });
const connections: NatsConnection[] = [];
let nats: Nats;

/** Adds a user who may do anything in account MESH: what an operator's mistake could give to a client at worst. */
function addIntruder(server: string): void {
  const path = join(directory, "nats", `${server}.conf`);
  const config = readFileSync(path, "utf8");
  writeFileSync(path, config.replace("users: [", 'users: [\n      { user: "intruder", password: "intruder" }'));
}

async function connectTo(url: string): Promise<NatsConnection> {
  const { username, password, host } = new URL(url);
  const connection = await connect({ servers: host, user: username, pass: password, reconnect: false });
  connections.push(connection);
  return connection;
}

beforeAll(async () => {
  const ports = createPorts(await getFreeBasePort());
  const program = await obtainNatsServer({ binDir: join(directory, "bin"), progress });
  nats = prepareNats({ directory: join(directory, "nats"), ports, program });
  addIntruder("hub");
  addIntruder("us");
  await supervisor.begin();
  await supervisor.start(nats.hub);
  await Promise.all(REGIONS.map((region) => supervisor.start(nats.leaves[region])));

  const metering = await connectTo(nats.url("metering"));
  const regional = await metering.jetstreamManager({ domain: "eu", timeout: 1_000, checkAPI: false });
  await untilLinked(() => regional.streams.add({ name: "USAGE", subjects: ["usage.eu.>"] }));
  const audit = await connectTo(nats.url("audit-eu"));
  const own = await audit.jetstreamManager({ checkAPI: false });
  await own.streams.add({ name: "AUDIT", subjects: ["audit.eu.>"] });
}, 60_000);

afterAll(async () => {
  await Promise.allSettled(connections.map((connection) => connection.close()));
  await supervisor.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe("the NATS servers of the development mesh", () => {
  it("let metering on the hub consume a region's usage through the region's domain", async () => {
    const router = await connectTo(nats.url("router-eu"));
    const metering = await connectTo(nats.url("metering"));
    const manager = await metering.jetstreamManager({ domain: "eu", checkAPI: false });
    await manager.consumers.add("USAGE", { durable_name: "metering-eu", ack_policy: AckPolicy.Explicit });

    await router.jetstream().publish("usage.eu.eu-1", text.encode("a usage"));
    const consumer = await metering.jetstream({ domain: "eu" }).consumers.get("USAGE", "metering-eu");
    const message = await consumer.next({ expires: 10_000 });

    expect(message && text.decode(message.data)).toBe("a usage");
    expect(await message?.ackAck()).toBe(true);
    expect((await consumer.info()).num_ack_pending).toBe(0);
  });

  it("never show a record of eu to a client of us or of the hub, whatever it asks for", async () => {
    const intruders = await Promise.all(
      (["router-us", "policy"] as const).map((neighbour) => {
        const url = new URL(nats.url(neighbour));
        return connectTo(`nats://intruder:intruder@${url.host}`);
      }),
    );
    const seen: string[] = [];
    for (const intruder of intruders) {
      intruder.subscribe(">", { callback: (_, message) => void seen.push(text.decode(message.data)) });
      await intruder.flush();
    }

    const records = await connectTo(nats.url("records-eu"));
    const { stream } = await records.jetstream().publish("audit.eu.eu-1", text.encode("a record of eu"));
    for (const intruder of intruders) {
      for (const domain of [undefined, "eu"]) {
        const prefix = domain ? `$JS.${domain}.API` : "$JS.API";
        const request = (verb: string, body: object) =>
          intruder.request(`${prefix}.${verb}`, text.encode(JSON.stringify(body)), { timeout: 500 }).then(
            (answer) => text.decode(answer.data),
            (error: Error) => error.message,
          );
        seen.push(await request(`STREAM.MSG.GET.${stream}`, { last_by_subj: "audit.eu.eu-1" }));
        seen.push(await request("STREAM.NAMES", {}));
        seen.push(
          await request("STREAM.CREATE.COPY", {
            name: `COPY${domain ?? ""}`,
            sources: [{ name: stream, external: { api: `$JS.eu.API`, deliver: "stolen" } }],
          }),
        );
      }
      await intruder.flush();
    }

    expect(stream).toBe("AUDIT");
    const base64 = Buffer.from("a record of eu").toString("base64"); // as STREAM.MSG.GET would answer
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter((data) => data.includes("a record of eu") || data.includes(base64))).toEqual([]);
  });

  it("let a region reach neither the domain of the other region nor that of the hub", async () => {
    const url = new URL(nats.url("router-us"));
    const intruder = await connectTo(`nats://intruder:intruder@${url.host}`);

    const answers = await Promise.all(
      ["eu", "hub"].map((domain) =>
        intruder.request(`$JS.${domain}.API.INFO`, undefined, { timeout: 500 }).then(
          () => "answered",
          () => "refused",
        ),
      ),
    );

    expect(answers).toEqual(["refused", "refused"]);
  });

  it("refuse a router's attempt to read or delete what it sent", async () => {
    const router = await connectTo(nats.url("router-eu"));
    const errors: string[] = [];
    void (async () => {
      for await (const status of router.status()) {
        errors.push(String(status.data));
      }
    })();

    const attempts = ["STREAM.MSG.GET.USAGE", "STREAM.PURGE.USAGE", "STREAM.DELETE.USAGE", "CONSUMER.LIST.USAGE"].map(
      (verb) =>
        router.request(`$JS.API.${verb}`, undefined, { timeout: 500 }).then(
          () => "answered",
          () => "refused",
        ),
    );

    expect(await Promise.all(attempts)).toEqual(["refused", "refused", "refused", "refused"]);
  });
});

/** A leaf links to the hub a moment after both are up; asks again until it has. */
async function untilLinked<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = AbortSignal.timeout(20_000);
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (deadline.aborted) {
        throw error;
      }
    }
  }
}
