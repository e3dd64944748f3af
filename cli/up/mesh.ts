import { writeFileSync } from "node:fs";
import { POLICY_NODE_FLAGS } from "../../services/shared/node-flags.ts";
import { type Addresses, createMeshAddresses } from "../addresses.ts";
import { createAuditOrigin, generateTrustRoot, type TrustRoot } from "../keygen.ts";
import { ensureAdminKey } from "../operators.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { findTakenPorts } from "./free-port.ts";
import {
  createLayout,
  createPorts,
  getRouterAdminPort,
  HOST,
  type Layout,
  type Ports,
  REGIONS,
  type Region,
} from "./layout.ts";
import type { ProcessOptions } from "./managed-process.ts";
import type { ModelProvider } from "./model-providers.ts";
import { type Nats, prepareNats } from "./nats.ts";
import { obtainNatsServer } from "./nats-binary.ts";
import { type Owner, type Postgres, preparePostgres } from "./postgres.ts";
import type { Progress } from "./progress.ts";
import { setProviderCredentials } from "./provider-credentials.ts";
import { answers, createServiceProcess } from "./service-process.ts";
import { type Supervised, Supervisor } from "./supervisor.ts";

/** Every process of the mesh with a router in each region, by name. */
export type ProcessName =
  | "postgres"
  | "nats-hub"
  | `nats-${Region}`
  | "scripted-provider"
  | "policy"
  | "metering"
  | "audit-control"
  | `audit-${Region}`
  | `router-${Region}`;

/** The routers beyond the first of their region: router-eu-2, router-eu-3 … */
export type MoreRouterName = `router-${Region}-${number}`;

/** Options of {@link startProcesses}. */
export interface MeshOptions {
  readonly dataDir: string;
  readonly basePort: number;
  readonly progress: Progress;
  /** Real providers whose credentials the routers get. Default none. */
  readonly modelProviders?: readonly ModelProvider[];
  /** How many routers each region has, on one port for callers. From 1 to `MAX_ROUTERS`; default 1. */
  readonly routers?: number;
  /** Starts again what dies on its own. Default false. */
  readonly restart?: boolean;
  /** Folder for compiled code, so that services start sooner the next time. Default none, but NODE_COMPILE_CACHE when it is set. */
  readonly compileCache?: string;
  /** Level of the services' logs. Default "info". */
  readonly logLevel?: string;
  /** Further settings of a process, for tests. */
  readonly settings?: Partial<Record<ProcessName | MoreRouterName, Readonly<Record<string, string>>>>;
}

/** A mesh whose processes all run. It has no policy yet on its first start, and its routers wait for one. */
export interface RunningProcesses {
  readonly layout: Layout;
  readonly ports: Ports;
  /** How many routers each region has. */
  readonly routers: number;
  readonly addresses: Addresses;
  readonly trust: TrustRoot;
  readonly processes: Readonly<Record<ProcessName, Supervised>> & Readonly<Record<MoreRouterName, Supervised>>;
  /** URLs with passwords, for tests that look into the databases and the bus. */
  databaseUrl(owner: Owner): string;
  readonly natsUrl: Nats["url"];
  /** Waits until the routers of a region have a snapshot and take calls. */
  waitRouterReady(region: Region, signal: AbortSignal): Promise<void>;
  /** Kills everything at once; a {@link stop} in progress then ends soon. */
  killAll(): void;
  /** Stops everything in reverse order. Nothing runs afterwards. */
  stop(): Promise<void>;
}

/**
 * Starts all processes of the development mesh: PostgreSQL, the NATS hub and a leaf for each region, the scripted provider, the
 * control plane (audit, policy, metering), and for each region its audit and its routers. Each is ready before what needs it starts.
 * When one does not come up, those that run are stopped and the error is thrown.
 */
export async function startProcesses(options: MeshOptions, signal?: AbortSignal): Promise<RunningProcesses> {
  const layout = createLayout(options.dataDir);
  const ports = createPorts(options.basePort);
  const { progress, routers = 1 } = options;
  const numbers = Array.from({ length: routers }, (_, index) => index + 1);
  const lock = await lockDataDir(layout.dataDir);
  const supervisor = new Supervisor({
    runDir: layout.run,
    logDir: layout.logs,
    progress,
    restart: options.restart ?? false,
  });
  const stop = async () => {
    await supervisor.stop();
    await lock.release();
  };
  const interrupt = () => void supervisor.stop();
  signal?.addEventListener("abort", interrupt, { once: true });
  try {
    await supervisor.begin();
    signal?.throwIfAborted();
    await refuseTakenPorts({ ...ports, ...listMoreAdminPorts(ports, routers) });
    const trust = generateTrustRoot({ directory: layout.keys, regions: REGIONS });
    if (trust.made.length > 0) {
      progress.done("make signing keys", 0, trust.made.join(", "));
    }
    if (ensureAdminKey(layout).made) progress.done("make admin key", 0, layout.adminKey);
    const [postgres, program] = await Promise.all([
      preparePostgres({ dataDir: layout.dataDir, port: ports.postgres, progress }),
      obtainNatsServer({ binDir: layout.bin, progress }),
    ]);
    const nats = prepareNats({ directory: layout.nats, ports, program });
    const plan = planServices({ ...options, layout, ports, trust, postgres, nats });

    await Promise.all([
      supervisor.start(postgres.process).then(() => postgres.createDatabases()),
      supervisor.start(nats.hub),
      ...REGIONS.map((region) => supervisor.start(nats.leaves[region])),
      supervisor.start(plan["scripted-provider"]),
    ]);
    await supervisor.start(plan["audit-control"]);
    // Two at a time: more would not be faster on a small machine.
    await Promise.all([supervisor.start(plan.policy), supervisor.start(plan.metering)]);
    const addresses = createMeshAddresses(options.dataDir, options.basePort);
    const { modelProviders = [] } = options;
    await Promise.all([
      setProviderCredentials({ policy: addresses.policy, trust, layout, modelProviders }),
      ...REGIONS.map((region) => supervisor.start(plan[`audit-${region}`])),
    ]);
    for (const number of numbers) {
      await Promise.all(REGIONS.map((region) => supervisor.start(plan.router(region, number))));
    }

    writeFileSync(layout.meshFile, `${JSON.stringify(addresses, null, 2)}\n`, { mode: 0o600 });
    return {
      layout,
      ports,
      routers,
      addresses,
      trust,
      processes: Object.fromEntries(
        supervisor.children.map((child) => [child.name, child]),
      ) as RunningProcesses["processes"],
      databaseUrl: postgres.url,
      natsUrl: nats.url,
      waitRouterReady: async (region, ready) => {
        await Promise.all(numbers.map((number) => waitRouterReady(ports, region, number, ready)));
      },
      killAll: () => supervisor.killAll(),
      stop,
    };
  } catch (error) {
    await stop();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", interrupt);
  }
}

/** Ports that a mesh with several routers in a region needs besides. */
function listMoreAdminPorts(ports: Ports, routers: number): Record<string, number> {
  const more = REGIONS.flatMap((region) =>
    Array.from({ length: routers - 1 }, (_, index) => [region, index + 2] as const),
  );
  return Object.fromEntries(
    more.map(([region, number]) => [`router-${region}-${number}-admin`, getRouterAdminPort(ports, region, number)]),
  );
}

async function refuseTakenPorts(ports: Readonly<Record<string, number>>): Promise<void> {
  const taken = await findTakenPorts(ports);
  if (taken.length > 0) {
    const list = taken.map(({ name, port }) => `${port} (${name})`).join(", ");
    throw new Error(
      `Cannot start mesh: something else listens on port ${list}; stop it, or choose another first port with --port`,
    );
  }
}

async function waitRouterReady(ports: Ports, region: Region, number: number, signal: AbortSignal): Promise<void> {
  const url = `http://${HOST}:${getRouterAdminPort(ports, region, number)}/readyz`;
  while (!(await answers(url, signal).catch(() => false))) {
    if (signal.aborted) {
      throw new Error(`Cannot use ${nameRouter(region, number)}: it has no policy yet; its log says why`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface PlanInput extends MeshOptions {
  readonly layout: Layout;
  readonly ports: Ports;
  readonly trust: TrustRoot;
  readonly postgres: Postgres;
  readonly nats: Nats;
}

type PlannedName = "scripted-provider" | "policy" | "metering" | "audit-control" | `audit-${Region}`;

/** The processes that are ours, with their settings. */
interface Plan extends Record<PlannedName, ProcessOptions> {
  router(region: Region, number: number): ProcessOptions;
}

/** Name of a process: the first router of a region is called as if it were the only one. */
function nameRouter(region: Region, number: number): ProcessName | MoreRouterName {
  return number === 1 ? `router-${region}` : `router-${region}-${number}`;
}

function planServices(input: PlanInput): Plan {
  const { layout, ports, trust, postgres, nats, routers = 1 } = input;
  const address = (name: keyof Ports) => `${HOST}:${ports[name]}`;
  const common = {
    WEIR_LOG_LEVEL: input.logLevel ?? "info",
    ...(input.compileCache !== undefined && { NODE_COMPILE_CACHE: input.compileCache }),
  };
  const settings = (name: ProcessName | MoreRouterName, own: Record<string, string>) => ({
    ...common,
    ...own,
    ...input.settings?.[name],
  });

  const audit = (region: Region | "control") =>
    createServiceProcess({
      name: `audit-${region}`,
      main: "services/audit/main.ts",
      port: ports[`audit-${region}`],
      settings: settings(`audit-${region}`, {
        WEIR_REGION: region,
        WEIR_ORIGIN: createAuditOrigin(region),
        WEIR_SIGNING_KEY: trust.auditKey(region),
        WEIR_OPERATORS: layout.operators,
        WEIR_DATABASE_URL: postgres.url(`audit_${region}`),
        WEIR_NATS_URL: nats.url(region === "control" ? "control-audit" : `audit-${region}`),
      }),
    });

  const router = (region: Region, number: number) => {
    const name = nameRouter(region, number);
    const adminPort = getRouterAdminPort(ports, region, number);
    return createServiceProcess({
      name,
      main: "services/router/main.ts",
      port: ports[`router-${region}`],
      operationsPort: adminPort,
      readyPath: "/healthz",
      settings: settings(name, {
        WEIR_REUSE_PORT: String(routers > 1),
        WEIR_ADMIN_LISTEN: `${HOST}:${adminPort}`,
        WEIR_REGION: region,
        WEIR_ROUTER: `${region}-${number}`,
        WEIR_POLICY_ADDRESS: address("policy"),
        WEIR_METERING_ADDRESS: address("metering"),
        WEIR_AUDIT_ADDRESS: address(`audit-${region}`),
        WEIR_NATS_URL: nats.url(`router-${region}`),
        WEIR_AUDIT_NATS_URL: nats.url(`records-${region}`),
        WEIR_STATE: `${layout.router}/${region}-${number}`,
        WEIR_TRUST: trust.routerTrust,
        WEIR_REGION_KEY_FILE: trust.regionKey(region),
      }),
    });
  };

  return {
    "scripted-provider": createServiceProcess({
      name: "scripted-provider",
      main: "cli/up/scripted-provider/main.ts",
      port: ports.provider,
      readyPath: "/healthz",
      settings: {},
    }),
    policy: createServiceProcess({
      name: "policy",
      main: "services/policy/main.ts",
      nodeFlags: POLICY_NODE_FLAGS,
      port: ports.policy,
      settings: settings("policy", {
        WEIR_DATABASE_URL: postgres.url("policy"),
        WEIR_NATS_URL: nats.url("policy"),
        WEIR_AUDIT_NATS_URL: nats.url("control-producer"),
        WEIR_AUDIT_ADDRESS: address("audit-control"),
        WEIR_SIGNING_KEY: trust.policyKey,
        WEIR_OPERATORS: layout.operators,
      }),
    }),
    metering: createServiceProcess({
      name: "metering",
      main: "services/metering/main.ts",
      port: ports.metering,
      settings: settings("metering", {
        WEIR_DATABASE_URL: postgres.url("metering"),
        WEIR_NATS_URL: nats.url("metering"),
        WEIR_REGIONS: REGIONS.join(","),
        WEIR_OPERATORS: layout.operators,
      }),
    }),
    "audit-control": audit("control"),
    "audit-eu": audit("eu"),
    "audit-us": audit("us"),
    router,
  };
}
