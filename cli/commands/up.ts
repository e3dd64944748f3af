import { once } from "node:events";
import { type Command, InvalidArgumentError } from "commander";
import { createBanner } from "../up/banner.ts";
import { Interrupted, listenForInterrupt } from "../up/interrupt.ts";
import { DEFAULT_BASE_PORT, MAX_ROUTERS } from "../up/layout.ts";
import { createPrintedProgress } from "../up/progress.ts";
import { type RunningMesh, startUp } from "../up/up.ts";

/** Adds `weir up`: the whole mesh on this machine, until it is interrupted. */
export function addUpCommand(program: Command): void {
  program
    .command("up")
    .description("start the whole mesh on this machine: control plane and two regions; Ctrl-C stops it")
    .option("--port <n>", "first port; the mesh uses those up to 40 above it", parsePort, DEFAULT_BASE_PORT)
    .option("--routers <n>", `router processes in each region, on one port; from 1 to ${MAX_ROUTERS}`, parseRouters, 1)
    .action(async ({ port, routers, dataDir }: { port: number; routers: number; dataDir: string }) => {
      await runMesh({ port, routers, dataDir }, async (mesh, signal) => {
        console.log(createBanner(mesh));
        if (!signal.aborted) {
          await once(signal, "abort");
        }
      });
    });
}

/**
 * Starts a mesh, uses it, and stops it again, whatever happens in between. An interrupt while starting or using it ends it in order.
 * Returns whether it was used to the end.
 */
export async function runMesh(
  options: { readonly port: number; readonly routers?: number; readonly dataDir: string },
  use: (mesh: RunningMesh, signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  let mesh: RunningMesh | undefined;
  const interrupt = listenForInterrupt(() => mesh?.killAll());
  const started = performance.now();
  console.log(`Starting Weir in ${options.dataDir}`);
  try {
    const progress = createPrintedProgress(process.stdout);
    mesh = await startUp(
      {
        dataDir: options.dataDir,
        basePort: options.port,
        routers: options.routers ?? 1,
        progress,
        environment: process.env,
      },
      interrupt.signal,
    );
    console.log(`Weir is up after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    await use(mesh, interrupt.signal);
    return true;
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      throw error;
    }
    return false;
  } finally {
    if (mesh) {
      const stopping = performance.now();
      console.log("\nStopping");
      await mesh.stop();
      console.log(`Stopped after ${((performance.now() - stopping) / 1000).toFixed(1)} s; nothing is left running`);
    }
    interrupt.end();
  }
}

function parseRouters(text: string): number {
  const routers = Number(text);
  if (!/^\d{1,2}$/.test(text) || routers < 1 || routers > MAX_ROUTERS) {
    throw new InvalidArgumentError(`should be a number from 1 to ${MAX_ROUTERS}`);
  }
  return routers;
}

/** Reads a first port, leaving room for the others above it. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1_024 || port > 65_000) {
    throw new InvalidArgumentError("should be a port from 1024 to 65000");
  }
  return port;
}
