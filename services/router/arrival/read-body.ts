import type { IncomingMessage } from "node:http";
import type { Clock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { BodyMemory } from "./body-memory.ts";

/** Calls `onDeadline` once `deadlineMs` (monotonic) has passed; the dispatch room's sweep is one. */
export interface Deadlines {
  add(watched: { deadlineMs: number; onDeadline(): void }): void;
  remove(watched: { deadlineMs: number; onDeadline(): void }): void;
}

/** How bodies are read. */
export interface ReadBodyOptions {
  /** Largest body, in bytes. */
  readonly limitBytes: number;
  readonly memory: BodyMemory;
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "monotonicMs">;
}

/** A body in memory. Its bytes count against {@link BodyMemory} until `release` is called, once. */
export interface ReadBody {
  readonly bytes: Buffer;
  release(): void;
}

/** How long a body may take however small it is. */
const GRACE_MS = 10_000;
/** The slowest that a body may come, on average after the grace. */
const SLOWEST_BYTES_PER_MS = 16;

/**
 * Reads a request's body into memory, at most `limitBytes` of it, and calls `done` once: with the body, or with BODY_TOO_LARGE,
 * BODY_MEMORY_FULL, BODY_TOO_SLOW (slower than 16 KiB a second after a grace of 10 s) or CALLER_GONE. Everything counted is given back
 * when there is an error. What the caller still sends after one is not read here.
 */
export function readBody(
  request: IncomingMessage,
  { limitBytes, memory, deadlines, clock }: ReadBodyOptions,
  done: (error: WeirError | undefined, body: ReadBody | undefined) => void,
): void {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > limitBytes) {
    done(tooLarge(limitBytes), undefined);
    return;
  }
  const beganMs = clock.monotonicMs();
  let chunks: Buffer[] = [];
  let size = 0;
  let over = false;
  const watched = { deadlineMs: beganMs + GRACE_MS, onDeadline: () => fail(tooSlow()) };

  const finish = (): boolean => {
    if (over) return false;
    over = true;
    deadlines.remove(watched);
    request.off("data", onData).off("end", onEnd).off("close", onClose);
    return true;
  };
  const fail = (error: WeirError) => {
    if (!finish()) return;
    chunks = [];
    memory.give(size);
    done(error, undefined);
  };
  const onData = (chunk: Buffer) => {
    if (size + chunk.length > limitBytes) return fail(tooLarge(limitBytes));
    try {
      memory.take(chunk.length);
    } catch (error) {
      return fail(error as WeirError);
    }
    size += chunk.length;
    chunks.push(chunk);
    watched.deadlineMs = beganMs + GRACE_MS + size / SLOWEST_BYTES_PER_MS;
  };
  const onEnd = () => {
    if (!finish()) return;
    let held = true;
    const release = () => {
      if (held) memory.give(size);
      held = false;
    };
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    // `release` outlives the bytes, and must not hold on to them.
    chunks = [];
    done(undefined, { bytes, release });
  };
  const onClose = () => fail(new WeirError("CALLER_GONE", "Cannot read body: the caller is gone"));

  request.on("data", onData).on("end", onEnd).on("close", onClose);
  deadlines.add(watched);
}

function tooLarge(limitBytes: number): WeirError {
  return new WeirError("BODY_TOO_LARGE", `Cannot read body: it is larger than ${limitBytes} bytes`, {
    facts: { limit_bytes: String(limitBytes) },
  });
}

function tooSlow(): WeirError {
  return new WeirError("BODY_TOO_SLOW", "Cannot read body: it comes too slowly");
}
