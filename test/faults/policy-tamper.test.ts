/** Somebody changes what a router keeps on disk, or what policy keeps in its database: nobody runs it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { createPool, type Pool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { askRouter, changePolicy, publishPolicy, readStatus } from "../policies.ts";
import { waitFor } from "../records.ts";

let mesh: Mesh;
let database: Pool;

beforeAll(async () => {
  mesh = await startMesh({ name: "policy-tamper" });
  database = createPool({ url: mesh.databaseUrl("policy"), log: createLog({ service: "test", level: "silent" }) });
});

afterAll(async () => {
  await database?.end();
  await mesh?.stop();
});

const router = () => mesh.processes["router-eu"];

function listFiles(kind: "snapshot" | "keyring"): string[] {
  const folder = join(mesh.layout.router, "eu-1", "snapshots");
  return readdirSync(folder)
    .filter((name) => name.startsWith(kind) && name.endsWith(".weir"))
    .sort()
    .reverse()
    .map((name) => join(folder, name));
}

let changes = 0;

function flipByte(path: string, from: number): void {
  const bytes = readFileSync(path);
  const at = from < 0 ? bytes.length + from : from;
  // Another bit each time: changing a byte back would make it whole again.
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (changes++ % 8));
  writeFileSync(path, bytes);
}

/** By what a router gets policy and keys besides its disk. */
const ROADS = ["policy", "nats-eu"] as const;

async function openRoads(): Promise<void> {
  for (const name of ROADS) await mesh.processes[name].restart();
}

/** Restarts the router with policy and its region's NATS away, so that it has nothing but its disk. */
async function restartFromDisk(change: () => void): Promise<void> {
  for (const name of ROADS) await mesh.processes[name].kill();
  await router().kill();
  change();
  await router().restart();
}

describe("a router that has nothing but its disk", () => {
  it("falls back to the version before when the newest snapshot was changed", async () => {
    await publishPolicy(mesh, changePolicy(mesh));
    await mesh.waitCurrent();
    const { snapshot: newest, keyring } = await askRouter(mesh, "eu", mesh.key);
    // Each is written a while after it was swapped in, and the keyring of before knows no key.
    const isWritten = (kind: "snapshot" | "keyring", version: bigint) =>
      listFiles(kind).some((path) => path.endsWith(`-${String(version).padStart(19, "0")}.weir`));
    await waitFor(
      async () => isWritten("snapshot", newest) && isWritten("snapshot", newest - 1n) && isWritten("keyring", keyring),
      (areWritten) => areWritten,
    );

    await restartFromDisk(() => flipByte(listFiles("snapshot")[0] as string, -1));
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));

    expect(await askRouter(mesh, "eu", mesh.key)).toMatchObject({ status: 200, snapshot: newest - 1n });
    await openRoads();
    await waitFor(
      () => askRouter(mesh, "eu", mesh.key),
      ({ snapshot }) => snapshot === newest,
    );
  });

  it.each(["snapshot", "keyring"] as const)(
    "serves nobody when every %s on it was changed, and serves again when policy is back",
    async (kind) => {
      await restartFromDisk(() => {
        for (const path of listFiles(kind)) flipByte(path, -1);
      });

      expect(await askRouter(mesh, "eu", mesh.key)).toMatchObject({ status: 503, reason: "NOT_READY" });

      await openRoads();
      await mesh.waitRouterReady("eu", AbortSignal.timeout(60_000));
      expect((await askRouter(mesh, "eu", mesh.key)).status).toBe(200);
    },
  );
});

describe("a database that was changed behind policy", () => {
  it("C9: leads no router astray: what was changed is refused and the reason told, and what ran before stays", async () => {
    const before = await askRouter(mesh, "eu", mesh.key);
    await router().kill();
    // The true one would else lie in the region's NATS before the database is changed.
    await mesh.processes["nats-eu"].kill();
    await publishPolicy(mesh, changePolicy(mesh));
    await mesh.processes.policy.kill();
    // Whoever has the database has everything but the signing key: the head stays that of the true content.
    await query(
      database,
      `update snapshot s set content = o.content, digest = o.digest from snapshot o, region r
        where r.region = 'eu' and s.region = 'eu' and s.version = r.snapshot_version
          and o.region = 'eu' and o.version = r.snapshot_version - 1`,
    );
    await openRoads();
    await router().restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));

    const refused = await waitFor(
      async () => (await readStatus(mesh)).instances.find(({ region }) => region === "eu")?.snapshot,
      (running) => running?.phase === SnapshotPhase.REFUSED,
    );

    expect(refused).toMatchObject({ version: before.snapshot, reportedVersion: before.snapshot + 1n });
    expect(refused?.reasons.join()).toContain("DIGEST");
    expect(await askRouter(mesh, "eu", mesh.key)).toMatchObject({ status: 200, snapshot: before.snapshot });
    await publishPolicy(mesh, changePolicy(mesh));
    await mesh.waitCurrent();
    expect((await askRouter(mesh, "eu", mesh.key)).snapshot).toBe(before.snapshot + 2n);
  });
});
