/** The control plane is away, in part or as a whole: routers go on, also through restarts, and catch up without being told. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromConnectError } from "../../services/shared/errors/wire.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { askRouter, changePolicy, publishPolicy, readStatus, revokeKey } from "../policies.ts";
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

describe("while the whole control plane is down", () => {
  it("chats go on and a router restarts: policy, metering, NATS and PostgreSQL are none of a chat's business", async () => {
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
