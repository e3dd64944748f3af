import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";
import { WeirError } from "../errors/weir-error.ts";
import { LineBuffer } from "./line-buffer.ts";
import { scrub } from "./scrub.ts";

/** Writes JSON lines. `log.info({ region: "eu" }, "Snapshot applied")`; `log.child({ … })` for what all lines share. */
export type Log = Logger;

/** How lines begin, how many there are, where they go. */
export interface LogOptions {
  /** Name of the process, such as "router": on every line. */
  readonly service: string;
  /** The least important level that is written: trace, debug, info, warn, error, fatal. Default info. */
  readonly level?: string;
  /**
   * Where lines go, each at once. Default standard output, once a turn of the event loop, and before the process exits; a process
   * that is killed loses the lines of that turn.
   */
  readonly destination?: DestinationStream;
}

/**
 * Creates the log of a process. Give errors as `{ err }`: of them only name, reason, message, facts, stack and the
 * causes' same are written, since errors of libraries carry requests with headers and bodies. Each finished line then
 * passes through a scrubber for key-shaped strings, because no list of fields can know what a message quotes.
 */
export function createLog(options: LogOptions): Log {
  const destination = options.destination ?? getStandardOutput();
  const lines = {
    write: (line: string) => destination.write(scrub(line)),
    // The logger calls it after a fatal line.
    flushSync: () => destination instanceof LineBuffer && destination.flushSync(),
  };
  return pino(
    {
      level: options.level ?? "info",
      base: { service: options.service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error), error: (error: unknown) => describeError(error) },
    },
    lines,
  );
}

/** One for all logs of the process, so that their lines keep their order. */
let standardOutput: LineBuffer | undefined;

function getStandardOutput(): LineBuffer {
  if (standardOutput === undefined) {
    const lines = new LineBuffer((text) => void process.stdout.write(text));
    process.on("exit", () => lines.flushSync());
    standardOutput = lines;
  }
  return standardOutput;
}

/** Causes beyond this depth are cut: an error can be its own cause. */
const DEEPEST_CAUSE = 4;

function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = (error as NodeJS.ErrnoException).code;
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(error instanceof WeirError ? { reason: error.reason, facts: error.facts } : {}),
    stack: error.stack,
    ...(error.cause !== undefined && depth < DEEPEST_CAUSE ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}
