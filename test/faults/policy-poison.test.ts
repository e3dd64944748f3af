/**
 * Versions of policy that no check finds anything wrong with, and that end or hang whatever router runs them (the fault is in the routers'
 * environment, see poison.fixture.ts): each stops at its first router, the one before comes back by itself, and nobody else notices.
 */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS } from "../../cli/control-plane.ts";
import type { Region } from "../../cli/up/layout.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { type Release, ReleaseState } from "../../gen/weir/policy/v1/release_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { askPolicy, askRouter, changePolicy, type PolicyJson } from "../policies.ts";
import { waitFor } from "../records.ts";

/** The process of each router. */
const PROCESSES = { "eu-1": "router-eu", "eu-2": "router-eu-2", "us-1": "router-us", "us-2": "router-us-2" } as const;
const ROUTERS = ["eu-1", "eu-2", "us-1", "us-2"] as const;
const POISON = { NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, "poison.fixture.ts"))}` };
/** One router, which is watched, then its region, then the others. */
const WAVES = [{ regions: ["eu"], routers: 1, bake: "60s" }, { regions: ["eu"], bake: "0s" }, { bake: "0s" }];

/** Versions of snapshots by region. */
type Snapshots = Readonly<Record<Region, bigint>>;

let mesh: Mesh;

beforeAll(async () => {
  // Whichever router comes first: every one of them would fall.
  const settings = { "router-eu": POISON, "router-eu-2": POISON, "router-us": POISON, "router-us-2": POISON };
  mesh = await startMesh({ name: "policy-poison", routers: 2, restart: true, settings });
});

afterAll(() => mesh?.stop());

/** Publishes the policy of the mesh with one more model, in waves. Returns its version, and that of each region's snapshot. */
async function publishPoison(model: string, appliedWithin: string): Promise<{ version: bigint; snapshots: Snapshots }> {
  const policy = changePolicy(mesh, (json: PolicyJson) => {
    json.models.push({ id: model, routes: [{ target: "scripted-eu/small" }, { target: "scripted-us/small" }] });
    Object.assign(json, { rollout: { waves: WAVES, gates: { appliedWithin } } });
  });
  const request = { requestId: randomUUID(), policy };
  const { version } = await askPolicy(mesh, PolicyService, (client) => client.publishPolicy(request, CALL_OPTIONS));
  const snapshots = Object.fromEntries(version!.snapshots.map((snapshot) => [snapshot.region, snapshot.version]));
  return { version: version!.version, snapshots: snapshots as Snapshots };
}

/** Follows a release to its end. */
function follow(policyVersion: bigint): Promise<Release> {
  return askPolicy(mesh, ReleaseService, async (client) => {
    let last: Release | undefined;
    for await (const { release } of client.watchRelease({ policyVersion }, { timeoutMs: 60_000 })) last = release;
    return last!;
  });
}

/** Asks the routers of `us` one after the other until the release has ended; every answer that is not good, and the snapshots they ran under. */
async function askMeanwhile(ended: Promise<unknown>): Promise<{ asked: number; failed: unknown[]; ran: Set<bigint> }> {
  const seen = { asked: 0, failed: [] as unknown[], ran: new Set<bigint>() };
  let isOver = false;
  void ended.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const answer = await askRouter(mesh, "us", mesh.key).catch((error: unknown) => ({ status: error, snapshot: 0n }));
    seen.asked += 1;
    if (answer.status === 200) seen.ran.add(answer.snapshot);
    else seen.failed.push(answer.status);
  }
  return seen;
}

/** The routers on whose disk a snapshot is: it gets there when it was swapped in. */
function listHolders(snapshots: Snapshots): string[] {
  return ROUTERS.filter((router) => {
    const version = snapshots[router.startsWith("eu") ? "eu" : "us"];
    return existsSync(
      join(mesh.layout.router, router, "snapshots", `snapshot-${String(version).padStart(19, "0")}.weir`),
    );
  });
}

/** The version that a router remembers to have been crashed by. */
function readCrashed(router: string): string {
  const file = readFileSync(join(mesh.layout.router, router, "snapshots", "crashes.json"), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}

function getPid(router: (typeof ROUTERS)[number]): number {
  const { pid } = mesh.processes[PROCESSES[router]]!;
  return pid;
}

describe("C5: a version of policy", () => {
  it.each([
    {
      model: "poison-throws",
      within: "60s",
      reason: /^eu\/eu-[12] refused it: TRIAL: .* throws: poisoned/,
      dies: false,
    },
    { model: "poison-loops", within: "3s", reason: /^eu\/eu-[12] did not apply it within 3 s$/, dies: true },
    // The last one: a router that came back takes the version again until policy knows of the crash, and may fall a second time a moment later.
    { model: "poison-throws-later", within: "60s", reason: /^It crashed eu\/eu-[12]$/, dies: true },
  ])("with the model $model stops at its first router and is rolled back by itself", async (fault) => {
    const { model, within, reason, dies } = fault;
    const before = new Map(ROUTERS.map((router) => [router, getPid(router)]));

    const { version, snapshots } = await publishPoison(model, within);
    const ended = follow(version);
    const [release, us] = await Promise.all([ended, askMeanwhile(ended)]);

    expect(release).toMatchObject({ state: ReleaseState.ROLLED_BACK, wave: 0 });
    expect(release.reasons.join()).toMatch(reason);
    const first = /eu-[12]/.exec(release.reasons.join())![0] as "eu-1" | "eu-2";
    // What hangs goes on hanging until whoever watches over the machine's processes ends it; all else comes by itself.
    const isHung = model === "poison-loops";
    if (isHung) process.kill(before.get(first)!, "SIGKILL");
    await mesh.waitCurrent();
    expect(us.failed).toEqual([]);
    expect(us.asked).toBeGreaterThan(0);
    expect([...us.ran]).not.toContain(snapshots.us);
    expect(listHolders(snapshots).filter((router) => router !== first)).toEqual([]);
    expect(ROUTERS.filter((router) => getPid(router) !== before.get(router))).toEqual(dies ? [first] : []);
    if (isHung) expect(readCrashed(first)).toBe(String(snapshots.eu));
    await waitFor(
      () => askRouter(mesh, "eu", mesh.key),
      ({ status }) => status === 200,
    );
  });
});
