import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { NODE_FLAGS } from "../../../services/shared/node-flags.ts";
import { accepts, CORES, nodeArguments, type Program, ROOT, type Setup, startProgram } from "../setup.ts";
import type { Contender, RunningContender } from "./contender.ts";
import { writeDiskPolicy } from "./disk-policy.ts";
import { WEIR_SURFACES } from "./weir-surfaces.ts";

/** What a router from disk is started with. */
export interface DiskRouterOptions {
  readonly name: string;
  readonly about: string;
  /** Keys in its keyring; requests take turns with up to 10,000 of them. Default 10. */
  readonly keys?: number;
  /** Models in its snapshot, at least 2: "small", and one of a provider of messages. Default 10. */
  readonly models?: number;
  /** Rules in its snapshot, of which few match. Default 0. */
  readonly rules?: number;
  /** Whether a limit is counted for each key. Default true. */
  readonly hasLimit?: boolean;
  /** Routers that share the port, all on the gateway's core. Default one, which does not. */
  readonly routers?: number;
}

/**
 * A router as the mesh runs it, but alone: it starts from a snapshot and a keyring on disk that the bench signed, and finds neither policy,
 * NATS, metering nor audit, so that its facts stay in its spool. For growth runs, and for a first look without a mesh.
 */
export function createDiskRouter(options: DiskRouterOptions): Contender {
  const { name, about } = options;
  return {
    name,
    about,
    start: async (setup) => {
      const { routers = 0 } = options;
      const folder = join(setup.folder, name);
      const { keys, environment } = writeDiskPolicy(folder, setup, options);
      const rotateFile = join(folder, "authorizations");
      writeFileSync(rotateFile, keys.map((key) => `Bearer ${key}\n`).join(""));
      const common = { headers: [`authorization: Bearer ${keys[0]}`], rotateFile };
      if (routers === 0) return await startRouter(setup, { ...common, name, environment });
      const port = setup.takePort();
      const started: RunningContender[] = [];
      for (let number = 1; number <= routers; number++) {
        const state = join(folder, `state-${number}`);
        cpSync(join(folder, "state"), state, { recursive: true });
        const own = { WEIR_STATE: state, WEIR_ROUTER: `eu-${number}`, WEIR_REUSE_PORT: "true" };
        const router = { ...common, name: `${name}-${number}`, environment: { ...environment, ...own } };
        started.push(await startRouter(setup, { ...router, sharedPort: port }));
      }
      const programs = started.map(({ program }) => program as Program);
      return { ...(started[0] as RunningContender), name, program: toOneProgram(name, port, programs) };
    },
  };
}

/** Several programs as one. */
function toOneProgram(name: string, port: number, programs: readonly Program[]): Program {
  return {
    name,
    port,
    pids: () => programs.flatMap((program) => program.pids()),
    restart: async () => {
      let startMs = 0;
      for (const program of programs) startMs += await program.restart();
      return startMs;
    },
    stop: async () => {
      for (const program of programs) await program.stop();
    },
    takeLoopDelay: () => (programs[0] as Program).takeLoopDelay(),
  };
}

/** Starts the router's own program with these settings, on the gateway's core. */
export async function startRouter(
  setup: Setup,
  options: Pick<RunningContender, "name" | "headers" | "rotateFile"> & {
    readonly environment: Readonly<Record<string, string>>;
    /** Others listen there too. Default: a port of its own. */
    readonly sharedPort?: number;
  },
): Promise<RunningContender & { readonly adminPort: number }> {
  const { name, environment, headers, rotateFile, sharedPort } = options;
  const port = sharedPort ?? setup.takePort();
  const adminPort = setup.takePort();
  const program = await startProgram(setup, {
    name,
    core: CORES.gateway,
    port,
    ...nodeArguments(...NODE_FLAGS, join(ROOT, "services/router/main.ts")),
    ...(sharedPort !== undefined && { sharesPort: true, takesTurns: true }),
    environment: {
      ...environment,
      WEIR_LISTEN: `${HOST}:${port}`,
      WEIR_ADMIN_LISTEN: `${HOST}:${adminPort}`,
      WEIR_DRAIN_TIMEOUT: "2s",
      // As deploy/README.md has it: what Node compiled at one start is there at the next.
      NODE_COMPILE_CACHE: join(setup.folder, "compile-cache"),
    },
    isReady: async () => (await accepts(port)) && (await fetch(`http://${HOST}:${adminPort}/readyz`)).ok,
  });
  const surfaces = WEIR_SURFACES;
  const rotated = rotateFile === undefined ? {} : { rotateFile };
  return { name, program, port, adminPort, headers, servesGrpc: true, surfaces, ...rotated };
}
