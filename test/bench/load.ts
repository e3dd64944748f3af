import type { LoadReport } from "./native/report.ts";
import { CORES, run } from "./setup.ts";

/** What load is made; see `native/`. */
export type Load =
  | { readonly mode: "closed"; readonly connections: number; readonly seconds: number }
  | { readonly mode: "open"; readonly rate: number; readonly seconds: number; readonly warmupSeconds?: number }
  | { readonly mode: "hold"; readonly streams: number; readonly rampSeconds: number; readonly seconds: number };

/** Where the load goes, and with what. */
export interface LoadTarget {
  readonly load: string;
  readonly port: number;
  readonly path: string;
  readonly bodyFile: string;
  readonly headers: readonly string[];
  readonly rotateFile?: string;
}

/** How many requests failed, of whatever kind. */
export function countErrors({ errors }: Pick<LoadReport, "errors">): number {
  const { status, connect, reset, timeout, incomplete } = errors;
  return Object.values(status).reduce((sum, count) => sum + count, connect + reset + timeout + incomplete);
}

/** Makes load from the load's core and returns what came of it. Nothing polls meanwhile. */
export async function makeLoad(target: LoadTarget, load: Load): Promise<LoadReport> {
  const args = [
    ...["--target", `127.0.0.1:${target.port}`, "--path", target.path, "--body", target.bodyFile],
    ...["content-type: application/json", ...target.headers].flatMap((header) => ["--header", header]),
    ...(target.rotateFile === undefined ? [] : ["--rotate-header", "authorization", target.rotateFile]),
    ...toArguments(load),
  ];
  return JSON.parse(await run(target.load, args, CORES.load)) as LoadReport;
}

function toArguments(load: Load): string[] {
  const ms = (seconds: number) => String(Math.round(seconds * 1000));
  switch (load.mode) {
    case "closed":
      return [
        ...["--mode", "closed", "--connections", String(load.connections)],
        ...["--warmup-ms", "0", "--duration-ms", ms(load.seconds)],
      ];
    case "open":
      return [
        ...["--mode", "open", "--rate", String(load.rate), "--poisson"],
        ...["--warmup-ms", ms(load.warmupSeconds ?? 0), "--duration-ms", ms(load.seconds)],
      ];
    case "hold":
      return [
        ...["--mode", "hold", "--streams", String(load.streams)],
        // Those that are open at the end are left: the caller goes.
        ...["--ramp-ms", ms(load.rampSeconds), "--duration-ms", ms(load.seconds), "--drain-ms", "0"],
      ];
  }
}
