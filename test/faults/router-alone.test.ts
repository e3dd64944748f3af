/**
 * A router on its own: with policy, metering, audit, NATS and PostgreSQL all dead it serves, restarts from its disk, honours a
 * revocation that it had heard of, refuses what was tampered with, and gives account of everything when the others are back.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS, withClient } from "../../cli/control-plane.ts";
import type { ProcessName } from "../../cli/up/mesh.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Pool } from "../../services/shared/database/pool.ts";
import { createEventId } from "../../services/shared/ids.ts";
import { createTestPolicy, DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { readLog, waitFor } from "../records.ts";
import { openLedger, readUsageIds } from "../spend.ts";

const OTHERS: readonly ProcessName[] = ["policy", "metering", "audit-eu", "nats-eu", "nats-hub", "postgres"];

/** By what a router gets policy and keys besides its disk. */
const ROADS: readonly ProcessName[] = ["policy", "nats-eu"];

let mesh: Mesh;
let ledger: Pool;
let revoked: { keyId: string; secret: string };
const chats: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "router-alone" });
  ledger = openLedger(mesh);
  revoked = await mesh.createKey();
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

async function chat(key = mesh.key): Promise<string> {
  const client = new OpenAI({ apiKey: key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
  const { response } = await client.chat.completions
    .create({ model: "scripted-small", messages: [{ role: "user", content: "Anyone there?" }] })
    .withResponse();
  chats.push(response.headers.get("x-request-id") ?? "");
  return response.headers.get("x-weir-policy-version") ?? "";
}

async function readState(): Promise<{ snapshot?: { version: string }; keyring?: { version: string } }> {
  return (await (await fetch(`${mesh.routerAdminUrl("eu")}/state`)).json()) as never;
}

/** The files of the router's last good snapshots or keyrings, newest first. */
function listFiles(kind: "snapshot" | "keyring"): string[] {
  const folder = join(mesh.layout.router, "eu-1", "snapshots");
  const names = readdirSync(folder).filter((name) => name.startsWith(`${kind}-`) && name.endsWith(".weir"));
  return names
    .sort()
    .reverse()
    .map((name) => join(folder, name));
}

function tamper(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
}

describe("a router whose whole mesh is dead", () => {
  it("goes on serving, also when all others die at once", async () => {
    await withClient(mesh.addresses.policy, KeyService, (client) =>
      client.revokeKey(
        {
          requestId: createEventId(Date.now()),
          organisation: DEMO_TENANT.organisation,
          keyId: revoked.keyId,
          comment: "Test",
        },
        CALL_OPTIONS,
      ),
    );
    await mesh.waitCurrent();
    await chat();
    for (const name of OTHERS.filter((other) => other !== "nats-eu")) await mesh.processes[name].kill("SIGKILL");
    for (let count = 0; count < 5; count++) await chat();
  });

  it("starts with an empty disk from what was released into its region's own NATS, the revocation included", async () => {
    const before = await readState();
    await mesh.processes["router-eu"].kill("SIGKILL");
    rmSync(join(mesh.layout.router, "eu-1", "snapshots"), { recursive: true });
    await mesh.processes["router-eu"].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
    expect(await readState()).toMatchObject({
      snapshot: { version: before.snapshot?.version },
      keyring: { version: before.keyring?.version },
    });
    await chat();
    await expect(chat(revoked.secret)).rejects.toMatchObject({ status: 401 });
    await mesh.processes["nats-eu"].kill("SIGKILL");
  });

  it("C4: restarts from its disk and runs what it ran, the revocation included", async () => {
    const before = await readState();
    await mesh.processes["router-eu"].kill("SIGKILL");
    await mesh.processes["router-eu"].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
    expect(await readState()).toMatchObject({
      snapshot: { version: before.snapshot?.version },
      keyring: { version: before.keyring?.version },
    });
    await chat();
    await expect(chat(revoked.secret)).rejects.toMatchObject({ status: 401 });
  });

  it("has given account of every chat once the others are back", async () => {
    for (const name of [...OTHERS].reverse()) await mesh.processes[name].restart();
    const usages = await waitFor(
      () => readUsageIds(ledger),
      (ids) => ids.length >= chats.length,
    );
    expect(usages).toEqual([...chats].sort());
    const readCalls = async () =>
      (await readLog(mesh, "eu")).flatMap(({ record }) => (record.act.case === "call" ? [record.recordId] : []));
    expect((await waitFor(readCalls, (ids) => ids.length >= chats.length)).sort()).toEqual([...chats].sort());
  });
});

describe("a router whose last good snapshots were tampered with", () => {
  it("C9: refuses the newest and runs the one before, then the newest again when policy is back, and policy hears of it", async () => {
    const older = await readState();
    await mesh.publish(createTestPolicy(mesh.ports.provider));
    const newer = await readState();
    expect(Number(newer.snapshot?.version)).toBeGreaterThan(Number(older.snapshot?.version));
    await mesh.processes["router-eu"].stop();
    for (const name of ROADS) await mesh.processes[name].kill("SIGKILL");
    const [newest] = listFiles("snapshot");
    tamper(newest!);

    await mesh.processes["router-eu"].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
    expect((await readState()).snapshot?.version).toBe(older.snapshot?.version);
    await chat();

    for (const name of ROADS) await mesh.processes[name].restart();
    await waitFor(readState, ({ snapshot }) => snapshot?.version === newer.snapshot?.version);
    const readPhase = () =>
      withClient(mesh.addresses.policy, ReleaseService, async (client) => {
        const { instances } = await client.listInstances({}, CALL_OPTIONS);
        return instances.find(({ region }) => region === "eu")?.snapshot;
      });
    const running = await waitFor(readPhase, (snapshot) => snapshot?.phase === SnapshotPhase.APPLIED);
    expect(String(running?.version)).toBe(newer.snapshot?.version);
  });

  it("with no good file left, and policy and NATS away, it serves nobody, and says why; with policy back it does", async () => {
    await mesh.processes["router-eu"].stop();
    for (const name of ROADS) await mesh.processes[name].kill("SIGKILL");
    for (const path of [...listFiles("snapshot"), ...listFiles("keyring")]) tamper(path);

    await mesh.processes["router-eu"].restart();
    const ready = await fetch(`${mesh.routerAdminUrl("eu")}/readyz`);
    expect(ready.status).toBe(503);
    await expect(chat()).rejects.toMatchObject({ status: 503, code: "not_ready" });

    for (const name of ROADS) await mesh.processes[name].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(60_000));
    await chat();
  });
});
