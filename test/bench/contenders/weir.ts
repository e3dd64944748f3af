import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CALL_OPTIONS, withClient } from "../../../cli/control-plane.ts";
import { toPolicy } from "../../../cli/policy-file.ts";
import { createExamplePolicy } from "../../../cli/up/example-policy.ts";
import { createTenantKey } from "../../../cli/up/example-tenant.ts";
import { HOST } from "../../../cli/up/layout.ts";
import { type RunningProcesses, startProcesses } from "../../../cli/up/mesh.ts";
import { createSilentProgress } from "../../../cli/up/progress.ts";
import type { Supervised } from "../../../cli/up/supervisor.ts";
import { PolicyService } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { listTree } from "../machine/process-figures.ts";
import { CORES, type Companions, type Program, pause, type Setup } from "../setup.ts";
import type { Contender, RunningContender } from "./contender.ts";
import { startRouter } from "./disk-router.ts";
import { MESSAGES_MODEL } from "./weir-surfaces.ts";

/** How long what was shipped may take to be committed before the run goes on without it. */
const CATCH_UP_MS = 300_000;
const WAIT_MS = 60_000;
/** High enough never to be reached; the limit is counted for each call all the same. */
const CALLS_A_MINUTE = 100_000_000;

/** What stands behind Weir, for those who look into it. */
export interface WeirMesh {
  readonly mesh: RunningProcesses;
  readonly router: RunningContender;
  /** Chats that ended in this run, over all restarts of the router. */
  countChats(): Promise<number>;
  /** What rests during segments; for runs that decide that themselves. */
  readonly companions: Companions;
}

/** The mesh of a run. */
export const meshOf = new WeakMap<Setup, WeirMesh>();

/** Weir with everything on: a whole mesh, and the router of its region "eu" on the gateway's core. */
export const weir: Contender = {
  name: "weir",
  about: "Weir, everything on: key, rules, limit, usages and records spooled and shipped",
  start: async (setup) => {
    // A run has one mesh, whatever uses it.
    const standing = meshOf.get(setup);
    if (standing !== undefined) return standing.router;
    const options = {
      dataDir: join(setup.folder, "mesh"),
      basePort: setup.basePort,
      progress: createSilentProgress(),
      logLevel: "warn",
      // What the mesh cannot take in as fast as a saturated router makes it waits in the spool.
      settings: { "router-eu": { WEIR_SPOOL_LIMIT: "16GiB" } },
    };
    const starting = startProcesses(options, setup.ending.signal);
    setup.onEnd.push(async () => await (await starting.catch(() => undefined))?.stop());
    const mesh = await starting;
    await publishPolicy(mesh, setup.provider.port);
    const { secret } = await createTenantKey(mesh.addresses.policy, { displayName: "Key of the bench" });
    await mesh.waitRouterReady("eu", AbortSignal.timeout(WAIT_MS));

    // Started by the bench as every contender is, with the settings that the mesh gave it.
    const own = mesh.processes["router-eu"];
    const environment = readEnvironment(own.pid);
    await own.stop();
    const router = await startRouter(setup, {
      name: "weir",
      environment,
      headers: [`authorization: Bearer ${secret}`],
    });
    const waitReady = async () => {
      await waitFor(`http://${HOST}:${router.adminPort}/readyz`, (status) => status === 200, WAIT_MS);
      await waitFor(
        `http://${HOST}:${router.adminPort}/metrics`,
        (_, text) => readGauge(text, "weir_bus_connected") === 2,
        WAIT_MS,
      );
    };
    await waitReady();
    const companions = createCompanions(mesh, router.adminPort);
    setup.companions.push(companions);
    // A restarted router counts from zero again.
    let earlier = 0;
    const program = router.program as Program;
    const restart = async () => {
      earlier += await readChats(router.adminPort);
      return await program.restart();
    };
    const running = { ...router, program: { ...program, restart }, hasCompanions: true, waitReady };
    const countChats = async () => earlier + (await readChats(router.adminPort));
    meshOf.set(setup, { mesh, router: running, countChats, companions });
    return running;
  },
};

async function readChats(adminPort: number): Promise<number> {
  const answer = await fetch(`http://${HOST}:${adminPort}/metrics`);
  return readGauge(await answer.text(), "weir_router_chats_total") ?? 0;
}

/** What of the mesh shares the load's core rests while something is measured, and catches up afterwards. */
function createCompanions(mesh: RunningProcesses, adminPort: number): Companions {
  const { processes } = mesh;
  // NATS goes on: the router ships to it all the time. Policy goes on too, with nothing to do.
  const resting: Supervised[] = [
    processes.metering,
    processes["audit-control"],
    processes["audit-eu"],
    processes["audit-us"],
    processes["router-us"],
    processes.postgres,
  ];
  const hasOwnCore = CORES.mesh !== CORES.load;
  const wake = async () => {
    if (!hasOwnCore) for (const process of [...resting].reverse()) await process.kill("SIGCONT");
  };
  return {
    pids: () => Object.values(processes).flatMap((child) => (child.isRunning ? listTree(child.pid) : [])),
    pause: async () => {
      if (!hasOwnCore) for (const process of resting) await process.kill("SIGSTOP");
    },
    wake,
    resume: async () => {
      await wake();
      await waitFor(
        `http://${HOST}:${adminPort}/metrics`,
        (_, text) => readGauge(text, "weir_router_spool_facts") === 0,
        CATCH_UP_MS,
      );
    },
  };
}

/** Publishes the policy of the bench. */
async function publishPolicy(mesh: RunningProcesses, providerPort: number): Promise<void> {
  const example = createExamplePolicy(providerPort, []) as Record<"providers" | "targets" | "models", object[]>;
  const policy = toPolicy(
    {
      ...example,
      providers: [
        ...example.providers,
        {
          id: "messages-eu",
          displayName: "The provider of the bench, asked for messages",
          dialect: "DIALECT_ANTHROPIC",
          baseUrl: `http://${HOST}:${providerPort}/v1`,
          credential: "scripted",
          regions: ["eu"],
        },
      ],
      targets: [
        ...example.targets,
        {
          id: "messages-eu/small",
          provider: "messages-eu",
          model: "bench-messages",
          prices: { input: "0.15", output: "0.60" },
          maxOutputTokens: 16_384,
        },
      ],
      models: [
        ...example.models,
        { id: MESSAGES_MODEL, displayName: "Messages", routes: [{ target: "messages-eu/small" }] },
      ],
      limits: [{ id: "each-key", per: "LIMIT_PER_KEY", requestsPerMinute: CALLS_A_MINUTE }],
    },
    "policy of the bench",
  );
  await withClient(mesh.addresses.policy, PolicyService, (client) =>
    client.publishPolicy({ requestId: randomUUID(), policy, comment: "Bench", allAtOnce: true }, CALL_OPTIONS),
  );
}

/** The variables that a process was started with. */
function readEnvironment(pid: number): Record<string, string> {
  const entries = readFileSync(`/proc/${pid}/environ`, "utf8")
    .split("\0")
    .filter((entry) => entry.startsWith("WEIR_"))
    .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]);
  return Object.fromEntries(entries);
}

/** Sum of a metric over its labels, from the text of /metrics. Undefined when it is not there. */
function readGauge(text: string, name: string): number | undefined {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.length === 0 ? undefined : lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

async function waitFor(url: string, isIt: (status: number, text: string) => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await fetch(url).then(
      async (response) => ({ status: response.status, text: await response.text() }),
      () => undefined,
    );
    if (answer !== undefined && isIt(answer.status, answer.text)) return;
    if (performance.now() > deadline) throw new Error(`Cannot wait longer than ${timeoutMs} ms for ${url}`);
    await pause(200);
  }
}
