import { flushCompileCache } from "node:module";
import { createLog, type Log } from "./telemetry/log.ts";

/** Something started that can be stopped in good order. */
export interface Stoppable {
  /** Stops taking work, finishes what is in flight within its own drain time, lets everything go. Called once. */
  stop(): Promise<void>;
}

/** What a service is handed when it starts. */
export interface ServiceContext {
  /** The process's log, at the level of WEIR_LOG_LEVEL. */
  readonly log: Log;
  /** The environment, for `readSettings`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts when the process is asked to stop, also in the middle of its start. */
  readonly signal: AbortSignal;
}

/** How long a stop may take beyond any drain time before the process leaves without it. */
const STOP_LIMIT_MS = 60_000;

/**
 * Runs a service as this process: starts it, and on SIGTERM, SIGINT or (when WEIR_SUPERVISED is true) the end of
 * standard input stops it and exits 0. A second signal exits at once with 128 + its number. An error nobody handled is
 * logged and exits 1, since what it left half done is unknown. Writes nothing but JSON log lines.
 */
export function runService(name: string, start: (context: ServiceContext) => Promise<Stoppable>): void {
  const environment = process.env;
  const log = createLog({ service: name, level: findLevel(environment.WEIR_LOG_LEVEL) });
  const stopping = new AbortController();
  let stop = () => stopping.abort(new Error(`Cannot go on: ${name} is asked to stop`));

  const fail = (err: unknown, message: string) => {
    log.fatal({ err }, message);
    process.exit(1);
  };
  process.on("uncaughtException", (error) => fail(error, "Stopped by an error that nobody handled"));
  process.on("unhandledRejection", (error) => fail(error, "Stopped by a rejection that nobody handled"));
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(128 + number);
      log.info({ signal }, "Stopping");
      stop();
    });
  }
  if (environment.WEIR_SUPERVISED === "true") {
    const orphan = () => {
      if (stopping.signal.aborted) return;
      log.info("Stopping, the supervisor is gone");
      stop();
    };
    process.stdin.once("end", orphan).once("error", orphan).resume();
    // Log lines to a supervisor that is gone fail; that must not keep the service from stopping in good order.
    process.stdout.on("error", orphan);
  }

  start({ log, environment, signal: stopping.signal }).then(
    (service) => {
      // Where NODE_COMPILE_CACHE is set: now, not at the end, which a killed process does not see. Nothing is left to write later.
      flushCompileCache();
      const finish = () => {
        setTimeout(() => fail(undefined, "Cannot stop in time, leaving"), STOP_LIMIT_MS).unref();
        service.stop().then(
          () => {
            log.info("Stopped");
            process.exit(0);
          },
          (error: unknown) => fail(error, "Cannot stop in good order"),
        );
      };
      if (stopping.signal.aborted) return finish();
      stop = () => {
        stopping.abort(new Error(`Cannot go on: ${name} is asked to stop`));
        finish();
      };
    },
    (error: unknown) => {
      if (stopping.signal.aborted) process.exit(0);
      fail(error, "Cannot start");
    },
  );
}

function findLevel(given: string | undefined): string {
  // A wrong one is refused when the settings are read; that refusal must be logged somehow.
  return ["trace", "debug", "info", "warn", "error", "fatal"].includes(given ?? "") ? String(given) : "info";
}
