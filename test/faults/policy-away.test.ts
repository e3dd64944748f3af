/** The control plane is away, in part or as a whole: routers go on, also through restarts, and catch up without being told. */
import { randomUUID } from "node:crypto";
import { readdirSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS } from "../../cli/control-plane.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { fromConnectError } from "../../services/shared/errors/wire.ts";
import { DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { askPolicy, askRouter, changePolicy, publishPolicy, readStatus, revokeKey } from "../policies.ts";
import { type ReadRecord, readLog, waitFor } from "../records.ts";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "policy-away" });
});

afterAll(() => mesh?.stop());

const ask = () => askRouter(mesh, "eu", mesh.key);

async function restartRouter(): Promise<void> {
  await mesh.processes["router-eu"].kill();
  await mesh.processes["router-eu"].restart();
  await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
}

describe("while policy is down", () => {
  it("chats go on, and a killed router serves again from disk under the same versions", async () => {
    const before = await ask();
    await mesh.processes.policy.kill();
    try {
      for (let count = 0; count < 5; count++) expect((await ask()).status).toBe(200);
      await restartRouter();

      expect(await ask()).toMatchObject({ status: 200, snapshot: before.snapshot, keyring: before.keyring });
    } finally {
      await mesh.processes.policy.restart();
    }
  });

  it("a change that was committed before the kill reaches the routers after the restart", async () => {
    const { keyId, secret } = await mesh.createKey();
    expect((await askRouter(mesh, "eu", secret)).status).toBe(200);
    await mesh.processes["router-eu"].kill("SIGSTOP");
    await revokeKey(mesh, keyId);
    await mesh.processes.policy.kill();
    await mesh.processes["router-eu"].kill("SIGCONT");
    await mesh.processes.policy.restart();

    await mesh.waitCurrent();
    expect(await askRouter(mesh, "eu", secret)).toMatchObject({ status: 401, reason: "KEY_REVOKED" });
  });
});

describe("a router that is cut off from policy", () => {
  const STRICT_AFTER_S = 15;

  /** A key that no router may honour that has heard nothing from policy for so long. */
  async function createStrictKey(): Promise<string> {
    const strictAfter = { seconds: BigInt(STRICT_AFTER_S) };
    const request = { requestId: randomUUID(), displayName: "Strict", ...DEMO_TENANT, models: ["*"], strictAfter };
    const { secret } = await askPolicy(mesh, KeyService, (client) => client.createKey(request, CALL_OPTIONS));
    await mesh.waitCurrent();
    return secret;
  }

  /** Stops the router, and starts it again as if it had been away for so long: a file is as old as its last confirmation. */
  async function returnAfter(awayS: number): Promise<void> {
    await mesh.processes["router-eu"].stop();
    const folder = join(mesh.layout.router, "eu-1", "snapshots");
    const then = Date.now() / 1000 - awayS;
    for (const file of readdirSync(folder)) utimesSync(join(folder, file), then, then);
    await mesh.processes["router-eu"].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
  }

  async function readKeyringAge(): Promise<number> {
    const state = await (await fetch(`${mesh.routerAdminUrl("eu")}/state`)).json();
    return (state as { keyring: { configAgeSeconds: number } }).keyring.configAgeSeconds;
  }

  /** Takes all that was released out of the region's own NATS server. */
  async function purgeReleased(): Promise<void> {
    await mesh.processes["nats-eu"].kill();
    const streams = readdirSync(mesh.layout.nats, { recursive: true, encoding: "utf8" }).filter((path) =>
      /^eu\/.*\/RELEASED$/.test(path),
    );
    expect(streams).toHaveLength(1);
    rmSync(join(mesh.layout.nats, streams[0]!), { recursive: true });
    await mesh.processes["nats-eu"].restart();
  }

  it("refuses a strict key after the time that the key states, goes on with others, and takes it again when policy is heard", async () => {
    const strict = await createStrictKey();
    expect((await askRouter(mesh, "eu", strict)).status).toBe(200);
    await mesh.processes.policy.kill();
    try {
      await returnAfter(STRICT_AFTER_S + 1);

      expect(await askRouter(mesh, "eu", strict)).toMatchObject({ status: 503, reason: "KEYRING_STALE" });
      expect((await ask()).status).toBe(200);
    } finally {
      await mesh.processes.policy.restart();
    }
    await waitFor(
      () => askRouter(mesh, "eu", strict),
      ({ status }) => status === 200,
    );
  });

  it("refuses a key that was revoked, and purged from the bus, while it was away, as soon as it hears policy; until then it says how old its keys are", async () => {
    const strict = await createStrictKey();
    const { keyId, secret } = await mesh.createKey();
    expect((await askRouter(mesh, "eu", secret)).status).toBe(200);
    await mesh.processes["router-eu"].stop();
    await revokeKey(mesh, keyId);
    await mesh.processes.policy.kill();
    try {
      await purgeReleased();
      await returnAfter(3_600);

      // Nobody could tell it. A key that must not be good then is of the strict class.
      expect((await askRouter(mesh, "eu", secret)).status).toBe(200);
      expect(await askRouter(mesh, "eu", strict)).toMatchObject({ status: 503, reason: "KEYRING_STALE" });
      expect(await readKeyringAge()).toBeGreaterThanOrEqual(3_600);
    } finally {
      await mesh.processes.policy.restart();
    }
    await mesh.waitCurrent();
    expect(await askRouter(mesh, "eu", secret)).toMatchObject({ status: 401, reason: "KEY_REVOKED" });
    // The next heartbeat confirms it.
    await waitFor(readKeyringAge, (ageS) => ageS < 3_600);
  });
});

describe("while the whole control plane is down", () => {
  it("C4: chats go on and a router restarts: policy, metering, NATS and PostgreSQL are none of a chat's business", async () => {
    const away = ["policy", "metering", "audit-control", "nats-hub", "nats-eu", "postgres"] as const;
    for (const name of away) await mesh.processes[name].kill();
    try {
      expect((await ask()).status).toBe(200);
      await restartRouter();
      expect((await ask()).status).toBe(200);
    } finally {
      for (const name of [...away].reverse()) await mesh.processes[name].restart();
    }
    await publishPolicy(mesh, changePolicy(mesh));
    await mesh.waitCurrent();
  });
});

describe("while PostgreSQL is down", () => {
  it("policy refuses changes and says why, keeps its watchers, and takes changes when it is back", async () => {
    await mesh.processes.postgres.kill();
    try {
      const refused = await publishPolicy(mesh, changePolicy(mesh)).catch(fromConnectError);
      expect(refused).toMatchObject({ reason: "UNAVAILABLE" });
      await restartRouter();
      expect((await ask()).status).toBe(200);
    } finally {
      await mesh.processes.postgres.restart();
    }

    const version = await waitFor(
      () => publishPolicy(mesh, changePolicy(mesh)),
      () => true,
    );
    await mesh.waitCurrent();
    const { latest } = await readStatus(mesh);
    expect(latest.every(({ policyVersion }) => policyVersion === version)).toBe(true);
  });
});

describe("while the bus and audit are down", () => {
  it("a change waits in the outbox and is on record once, in order, when they are back", async () => {
    const listChanges = (all: readonly ReadRecord[]) =>
      all.flatMap(({ record }) => (record.act.case === "policyChange" ? [record.act.value] : []));
    const published = (await readStatus(mesh)).latest[0]?.policyVersion;
    const count = await waitFor(
      () => readLog(mesh, "control"),
      (all) => BigInt(listChanges(all).length) === published,
    ).then((all) => listChanges(all).length);
    await mesh.processes["nats-hub"].kill();
    await mesh.processes["audit-control"].kill();
    const first = await publishPolicy(mesh, changePolicy(mesh), "one");
    await publishPolicy(mesh, changePolicy(mesh), "two");
    await mesh.waitCurrent();
    await mesh.processes.policy.kill();
    await mesh.processes.policy.restart();
    await mesh.processes["audit-control"].restart();
    await mesh.processes["nats-hub"].restart();

    const records = await waitFor(
      () => readLog(mesh, "control"),
      (all) => listChanges(all).length >= count + 2,
    );

    const added = listChanges(records).slice(count);
    expect(added.map((change) => [change.version, change.comment])).toEqual([
      [first, "one"],
      [first + 1n, "two"],
    ]);
  });
});
