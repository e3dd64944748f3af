import { toPolicy } from "../policy-file.ts";
import { createExamplePolicy } from "./example-policy.ts";
import { getDemoKey, publishExampleWhereMissing } from "./example-tenant.ts";
import { createLayout, REGIONS } from "./layout.ts";
import { type RunningProcesses, startProcesses } from "./mesh.ts";
import { findModelProviders, type ModelProvider } from "./model-providers.ts";
import type { Progress } from "./progress.ts";

/** Options of {@link startUp}. */
export interface UpOptions {
  readonly dataDir: string;
  readonly basePort: number;
  /** How many routers each region has. Default 1. */
  readonly routers?: number;
  readonly progress: Progress;
  /** Where keys and URLs of real providers are looked for. */
  readonly environment: NodeJS.ProcessEnv;
}

/** A mesh that takes calls. */
export interface RunningMesh extends RunningProcesses {
  readonly demoKey: string;
  /** The real providers that the example policy uses; empty when it uses the scripted one. */
  readonly modelProviders: readonly ModelProvider[];
}

/**
 * Starts the whole development mesh so that it takes calls: all processes, a policy (the example, when there is none), and a demo
 * key. When anything fails, what was started is stopped and the error thrown.
 */
export async function startUp(options: UpOptions, signal: AbortSignal): Promise<RunningMesh> {
  const { dataDir, basePort, routers = 1, progress } = options;
  const modelProviders = await findModelProviders(options.environment);
  // One of the user's own choice is inherited.
  const compileCache = options.environment.NODE_COMPILE_CACHE ?? createLayout(dataDir).compileCache;
  const processes = await startProcesses(
    { dataDir, basePort, routers, progress, modelProviders, compileCache, restart: true },
    signal,
  );
  try {
    const { addresses } = processes;
    const started = performance.now();
    const example = toPolicy(createExamplePolicy(processes.ports.provider, modelProviders), "example policy");
    const version = await publishExampleWhereMissing(addresses.policy, example);
    if (version !== undefined) {
      progress.done("publish example policy", performance.now() - started, `version ${version}`);
    }
    const demoKey = await getDemoKey(addresses.policy, processes.layout.demoKey);
    const ready = AbortSignal.any([signal, AbortSignal.timeout(30_000)]);
    await Promise.all(REGIONS.map((region) => processes.waitRouterReady(region, ready)));
    progress.done("policy reaches the routers", performance.now() - started);
    return { ...processes, demoKey, modelProviders };
  } catch (error) {
    await processes.stop();
    throw signal.aborted ? signal.reason : error;
  }
}
