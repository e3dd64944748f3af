import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "../cli/addresses.ts";
import { CALL_OPTIONS, withClient } from "../cli/control-plane.ts";
import { toPolicy } from "../cli/policy-file.ts";
import { createExamplePolicy } from "../cli/up/example-policy.ts";
import { createTenantKey, DEMO_TENANT } from "../cli/up/example-tenant.ts";
import { HOST, REGIONS, type Region } from "../cli/up/layout.ts";
import { type MoreRouterName, type ProcessName, type RunningProcesses, startProcesses } from "../cli/up/mesh.ts";
import { createSilentProgress } from "../cli/up/progress.ts";
import { SCRIPTS, type Script } from "../cli/up/scripted-provider/script.ts";
import type { Policy } from "../gen/weir/policy/v1/policy_pb.ts";
import { PolicyService } from "../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../gen/weir/policy/v1/release_service_pb.ts";
import { getFreeBasePort } from "./ports.ts";
import { copyPostgres } from "./postgres-template.ts";

/** Options of {@link startMesh}. */
export interface StartMeshOptions {
  /** Names the temporary folder. */
  readonly name: string;
  /** First port. Default: one from which all are free. */
  readonly basePort?: number;
  /** Data directory. Default: a temporary one, removed by `stop()`. One that is given stays. */
  readonly dataDir?: string;
  /** How many routers each region has. Default 1. */
  readonly routers?: number;
  /** Starts again what dies on its own. Default false: a test that kills a process sees it dead until it restarts it. */
  readonly restart?: boolean;
  /** Policy that is published. Default: {@link createTestPolicy}. `null` publishes none, and routers are not waited for. */
  readonly policy?: unknown | null;
  /** Further settings of a process. */
  readonly settings?: Partial<Record<ProcessName | MoreRouterName, Readonly<Record<string, string>>>>;
}

/** A whole mesh in processes of its own, for tests. */
export interface Mesh extends RunningProcesses {
  /** Key of the demo tenant for all models, without a limit. */
  readonly key: string;
  /** The admin key of the mesh: for requests that a test sends by hand. */
  readonly adminKey: string;
  /** What the router of a region is called as: "http://127.0.0.1:…". The OpenAI base URL is this and "/v1". */
  routerUrl(region: Region): string;
  /** Where operators reach the router of a region. */
  routerAdminUrl(region: Region): string;
  /** The scripted provider's address. */
  readonly providerUrl: string;
  /** Makes another key of the demo tenant. */
  createKey(options?: {
    models?: readonly string[];
    requestsPerMinute?: number;
  }): Promise<{ keyId: string; secret: string }>;
  /** Publishes a policy (its proto JSON) and waits until every router that is up runs it. Returns its version. */
  publish(policy: unknown): Promise<bigint>;
  /** Waits until the routers of these regions run at least the latest snapshot and keyring. */
  waitCurrent(regions?: readonly Region[]): Promise<void>;
  /** Sets (or with `null` takes back) what the scripted provider does for a model name at the provider; "*" for all. */
  script(model: string, script: Script | null): Promise<void>;
  /** Lets all streams go on that a script holds. */
  release(): Promise<void>;
  /** What the scripted provider billed. */
  bill(): Promise<{
    calls: Record<string, unknown>[];
    totals: { calls: number; promptTokens: number; completionTokens: number };
  }>;
}

/** How long a test waits for the mesh to come to a state. */
const WAIT_MS = 60_000;

/** The example policy, with a model for each script of the scripted provider besides: "scripted-cut" is cut, and so on. */
export function createTestPolicy(scriptedPort: number): unknown {
  const example = createExamplePolicy(scriptedPort, []) as {
    targets: object[];
    models: object[];
  };
  const names = Object.keys(SCRIPTS);
  return {
    ...example,
    limits: [],
    targets: [
      ...example.targets,
      ...REGIONS.flatMap((region) =>
        names.map((model) => ({
          id: `scripted-${region}/${model}`,
          provider: `scripted-${region}`,
          model,
          prices: { input: "1", output: "2" },
          maxOutputTokens: "4096",
        })),
      ),
    ],
    models: [
      ...example.models,
      ...names.map((id) => ({ id, routes: REGIONS.map((region) => ({ target: `scripted-${region}/${id}` })) })),
    ],
  };
}

/**
 * Starts a whole mesh on free ports and in a folder of its own: PostgreSQL, NATS, all services, the scripted provider, with a policy and a key.
 * Call `stop()` in the end.
 */
export async function startMesh(options: StartMeshOptions): Promise<Mesh> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), `weir-${options.name}-`));
  await copyPostgres(dataDir);
  const basePort = options.basePort ?? (await getFreeBasePort());
  const processes = await startProcesses({
    dataDir,
    basePort,
    routers: options.routers ?? 1,
    restart: options.restart ?? false,
    progress: createSilentProgress(),
    ...(options.settings ? { settings: options.settings } : {}),
  });
  const stop = async () => {
    await processes.stop();
    if (options.dataDir === undefined) {
      rmSync(dataDir, { recursive: true, force: true });
    }
  };
  try {
    return await furnish(processes, options, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function furnish(
  processes: RunningProcesses,
  options: StartMeshOptions,
  stop: () => Promise<void>,
): Promise<Mesh> {
  const { ports, addresses } = processes;
  const providerUrl = `http://${HOST}:${ports.provider}`;
  const mesh: Omit<Mesh, "key"> = {
    ...processes,
    adminKey: readFileSync(processes.layout.adminKey, "utf8").trim(),
    providerUrl,
    stop,
    routerUrl: (region) => `http://${HOST}:${ports[`router-${region}`]}`,
    routerAdminUrl: (region) => `http://${HOST}:${ports[`router-${region}-admin`]}`,
    async createKey(keyOptions = {}) {
      const key = await createTenantKey(addresses.policy, { displayName: "Test key", ...keyOptions });
      await waitCurrent(addresses.policy, listRouters(processes).filter(isRunning(processes)));
      return key;
    },
    async publish(policy) {
      const version = await publish(addresses.policy, toPolicy(policy, "test"));
      await waitCurrent(addresses.policy, listRouters(processes).filter(isRunning(processes)));
      return version;
    },
    waitCurrent: (regions = REGIONS) =>
      waitCurrent(
        addresses.policy,
        listRouters(processes).filter(({ region }) => regions.includes(region)),
      ),
    script: (model, script) => post(`${providerUrl}/script`, { model, script }),
    release: () => post(`${providerUrl}/release`, {}),
    bill: async () => (await fetch(`${providerUrl}/bill`)).json() as ReturnType<Mesh["bill"]>,
  };
  if (options.policy === null) {
    return { ...mesh, key: "" };
  }
  await publish(addresses.policy, toPolicy(options.policy ?? createTestPolicy(ports.provider), "test policy"));
  const { secret } = await mesh.createKey();
  await Promise.all(REGIONS.map((region) => processes.waitRouterReady(region, AbortSignal.timeout(WAIT_MS))));
  return { ...mesh, key: secret };
}

/** A router of the mesh, by its name in its region. */
interface Router {
  readonly region: Region;
  readonly number: number;
}

function listRouters({ routers }: RunningProcesses): Router[] {
  return REGIONS.flatMap((region) => Array.from({ length: routers }, (_, index) => ({ region, number: index + 1 })));
}

function isRunning({ processes }: RunningProcesses): (router: Router) => boolean {
  return ({ region, number }) =>
    number === 1
      ? processes[`router-${region}`].isRunning
      : processes[`router-${region}-${number}`]?.isRunning === true;
}

async function publish(endpoint: Endpoint, policy: Policy): Promise<bigint> {
  return withClient(endpoint, PolicyService, async (client) => {
    // In waves it would take its time; that has tests of its own.
    const request = { requestId: randomUUID(), policy, comment: "Test", allAtOnce: true };
    const { version } = await client.publishPolicy(request, CALL_OPTIONS);
    return version!.version;
  });
}

/** Asks policy until these routers have reported the latest versions as running. */
async function waitCurrent(policy: Endpoint, routers: readonly Router[]): Promise<void> {
  const deadline = AbortSignal.timeout(WAIT_MS);
  let behind = routers.map(({ region, number }) => `${region}-${number}`);
  await withClient(policy, ReleaseService, async (client) => {
    while (behind.length > 0) {
      const { instances, latest } = await client.listInstances({}, CALL_OPTIONS);
      behind = behind.filter((name) => {
        const instance = instances.find((one) => one.instance === name);
        const newest = latest.find(({ region }) => region === instance?.region);
        return (
          (instance?.snapshot?.version ?? 0n) < (newest?.snapshotVersion ?? 1n) ||
          (instance?.keyring?.version ?? 0n) < (newest?.keyringVersion ?? 1n)
        );
      });
      if (deadline.aborted && behind.length > 0) {
        throw new Error(`Cannot wait for policy: the routers ${behind.join(", ")} are behind after ${WAIT_MS} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, behind.length > 0 ? 50 : 0));
    }
  });
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) {
    throw new Error(`Cannot script the provider: it answered ${response.status}`);
  }
}

/** The demo tenant, whom the keys of a test mesh belong to. */
export { DEMO_TENANT };
