import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { HOST } from "../../../cli/up/layout.ts";
import { ChildRun } from "../../../cli/up/managed-process.ts";
import type { MoreRouterName, ProcessName } from "../../../cli/up/mesh.ts";
import { createServiceProcess } from "../../../cli/up/service-process.ts";
import { KeyService } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { createPool, type Pool } from "../../../services/shared/database/pool.ts";
import { createMeshTransport } from "../../../services/shared/mesh/client.ts";
import { POLICY_NODE_FLAGS } from "../../../services/shared/node-flags.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { type Mesh, startMesh } from "../../mesh.ts";
import { waitFor } from "../../records.ts";
import { pinProcess } from "../ingest/sample.ts";

/** A whole mesh with two routers a region and up to two instances of policy. */
export interface MeshOfKeys {
  readonly mesh: Mesh;
  /** "host:port" of each instance of policy. */
  readonly policyAddresses: readonly string[];
  /** Process ids of what is measured. */
  readonly pids: Readonly<Record<string, number>>;
  /** Of keys, at each instance of policy. */
  readonly keys: readonly ReturnType<typeof createKeyClient>["client"][];
  /** Policy's database, to see what routers have reported. */
  readonly pool: Pool;
  /** Files into which processes write how long their event loop was held. */
  readonly turnFiles: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const TURNS = join(import.meta.dirname, "turns.ts");
const ROUTERS: readonly (ProcessName | MoreRouterName)[] = ["router-eu", "router-us", "router-eu-2", "router-us-2"];
/** A second instance of policy listens so far above the mesh's first port: the ports of a mesh end at 40. */
const SECOND_POLICY = 45;

/** Starts it. With `pinned`, policy, database and NATS are on the first core, routers on the second with whoever measures. */
export async function startMeshOfKeys(options: {
  readonly folder: string;
  readonly policies: 1 | 2;
  readonly pinned: boolean;
}): Promise<MeshOfKeys> {
  const { folder, policies, pinned } = options;
  const names = ["policy", ...(policies === 2 ? ["policy-2"] : []), ...ROUTERS];
  const turnFiles = Object.fromEntries(names.map((name) => [name, join(folder, `${name}.turns`)]));
  const measured = (name: string) => ({
    NODE_OPTIONS: `--import ${TURNS}`,
    BENCH_TURNS: turnFiles[name] as string,
    WEIR_LOG_LEVEL: "warn",
  });
  const mesh = await startMesh({
    name: "propagation",
    routers: 2,
    settings: Object.fromEntries(["policy" as const, ...ROUTERS].map((name) => [name, measured(name)])),
  });
  const closing: (() => void | Promise<void>)[] = [() => mesh.stop()];
  const stop = async (): Promise<void> => {
    for (const close of closing.toReversed()) await close();
  };
  try {
    const token = mesh.adminKey;
    const { addresses, ports, processes } = mesh;
    const policyAddresses = [addresses.policy.address];
    const pids: Record<string, number> = { policy: processes.policy.pid };
    for (const name of ROUTERS) pids[name] = processes[name as ProcessName].pid;
    if (policies === 2) {
      const port = ports.policy + SECOND_POLICY;
      const second = await startSecondPolicy(mesh, port, folder, measured("policy-2"));
      closing.push(() => second.stop("SIGTERM", 15_000));
      policyAddresses.push(`${HOST}:${port}`);
      pids["policy-2"] = second.identity.pid;
    }
    if (pinned) {
      const { postgres, "nats-hub": hub, "nats-eu": eu, "nats-us": us } = processes;
      for (const part of [postgres, hub, eu, us, processes.policy]) pinProcess(part.pid, 0);
      if (pids["policy-2"] !== undefined) pinProcess(pids["policy-2"], 0);
      for (const name of ROUTERS) pinProcess(pids[name] as number, 1);
      for (const part of [processes["scripted-provider"], processes.metering, processes["audit-control"]])
        pinProcess(part.pid, 1);
    }
    const clients = policyAddresses.map((address) => createKeyClient(address, token));
    closing.push(() => clients.forEach(({ close }) => void close()));
    const pool = createPool({
      url: mesh.databaseUrl("policy"),
      max: 2,
      log: createLog({ service: "bench", level: "error" }),
    });
    closing.push(() => pool.end());
    return { mesh, policyAddresses, pids, keys: clients.map(({ client }) => client), pool, turnFiles, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The longest turn of each event loop since it was asked last, in milliseconds of CPU time, by process. */
export async function readTurns({ pids, turnFiles }: MeshOfKeys): Promise<Record<string, number>> {
  const paths = Object.values(turnFiles);
  for (const path of paths) rmSync(path, { force: true });
  for (const pid of Object.values(pids)) process.kill(pid, "SIGUSR2");
  // Each file is there as soon as all of it is.
  await waitFor(
    async () => paths.every((path) => existsSync(path)),
    (areThere) => areThere,
  );
  return Object.fromEntries(
    Object.entries(turnFiles).map(([name, path]) => [name, JSON.parse(readFileSync(path, "utf8")) as number]),
  );
}

function createKeyClient(address: string, token: string) {
  const transport = createMeshTransport({ addresses: [address], token: () => token, defaultTimeoutMs: 60_000 });
  return { client: createClient(KeyService, transport), close: () => transport.close() };
}

async function startSecondPolicy(
  mesh: Mesh,
  port: number,
  folder: string,
  settings: Readonly<Record<string, string>>,
): Promise<ChildRun> {
  const options = createServiceProcess({
    name: "policy-2",
    main: "services/policy/main.ts",
    nodeFlags: POLICY_NODE_FLAGS,
    port,
    settings: {
      WEIR_DATABASE_URL: mesh.databaseUrl("policy"),
      WEIR_NATS_URL: mesh.natsUrl("policy"),
      WEIR_AUDIT_NATS_URL: mesh.natsUrl("control-producer"),
      WEIR_AUDIT_ADDRESS: mesh.addresses.audit.control?.address as string,
      WEIR_SIGNING_KEY: mesh.trust.policyKey,
      WEIR_OPERATORS: mesh.layout.operators,
      ...settings,
    },
  });
  const run = await ChildRun.start(options, folder);
  while (!(await options.ready(AbortSignal.timeout(60_000)).catch(() => false))) {
    if (run.hasEnded) throw new Error("Cannot start the second instance of policy: it has ended");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return run;
}
