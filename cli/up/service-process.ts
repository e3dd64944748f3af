import { fileURLToPath } from "node:url";
import { NODE_FLAGS } from "../../services/shared/node-flags.ts";
import { HOST } from "./layout.ts";
import type { ProcessOptions } from "./managed-process.ts";

/** What a service of the mesh is started with. */
export interface ServiceProcessOptions {
  /** Name of the process. */
  readonly name: string;
  /** Its main file, relative to the repository. */
  readonly main: string;
  /** Where callers reach it. */
  readonly port: number;
  /** Where operators reach it (health, readiness, metrics). Default: `port`. */
  readonly operationsPort?: number;
  /** Its settings, without WEIR_LISTEN, WEIR_REFLECTION and WEIR_SUPERVISED, which are added. */
  readonly settings: Readonly<Record<string, string>>;
  /** What counts as ready. Default "/readyz"; a router without a policy never gets there, but is alive by "/healthz". */
  readonly readyPath?: "/readyz" | "/healthz";
  /** Options of Node. Default {@link NODE_FLAGS}. */
  readonly nodeFlags?: readonly string[];
}

/** Variables of this process that services get too; all others stay here (keys of providers are given as files). */
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "NODE_COMPILE_CACHE"];

/** Describes the process of one of our services for the supervisor. */
export function createServiceProcess(options: ServiceProcessOptions): ProcessOptions {
  const { name, port, operationsPort = port, readyPath = "/readyz", nodeFlags = NODE_FLAGS } = options;
  const inherited = INHERITED.flatMap((variable) => {
    const value = process.env[variable];
    return value === undefined ? [] : [[variable, value]];
  });
  return {
    name,
    command: process.execPath,
    args: [...nodeFlags, fileURLToPath(new URL(`../../${options.main}`, import.meta.url))],
    environment: {
      ...Object.fromEntries(inherited),
      WEIR_LISTEN: `${HOST}:${port}`,
      WEIR_REFLECTION: "true",
      WEIR_SUPERVISED: "true",
      ...options.settings,
    },
    detail: `${HOST}:${port}`,
    readyTimeoutMs: 60_000,
    ready: (signal) => answers(`http://${HOST}:${operationsPort}${readyPath}`, signal),
  };
}

/** Tells whether a health path answers 200 within 2 s. */
export async function answers(url: string, signal?: AbortSignal): Promise<boolean> {
  const timeout = AbortSignal.timeout(2_000);
  const response = await fetch(url, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  await response.arrayBuffer();
  return response.ok;
}
