import type { IncomingMessage } from "node:http";
import type { Clock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { Listed } from "../../shared/open-list.ts";
import type { BodyMemory } from "./body-memory.ts";

/** Calls `onDeadline` once `deadlineMs` (monotonic) has passed; the dispatch room's sweep is one. */
export interface Deadlines {
  add(watched: Listed & { deadlineMs: number; onDeadline(): void }): void;
  remove(watched: Listed & { deadlineMs: number; onDeadline(): void }): void;
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

/** Called once: with what is wrong, or with the body. */
export type BodyDone = (error: WeirError | undefined, body: ReadBody | undefined) => void;

/**
 * Reads a request's body into memory, at most `limitBytes` of it, and calls `done` once: with the body, or with BODY_TOO_LARGE,
 * BODY_MEMORY_FULL, BODY_TOO_SLOW (slower than 16 KiB a second after a grace of 10 s) or CALLER_GONE. Everything counted is given back
 * when there is an error. What the caller still sends after one is not read here.
 */
export function readBody(request: IncomingMessage, options: ReadBodyOptions, done: BodyDone): void {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) > options.limitBytes) {
    done(tooLarge(options.limitBytes), undefined);
    return;
  }
  const reading = new Reading(options, done);
  options.deadlines.add(reading);
  // They stay on to the request's end, and find the reading over: to take them off would only cost.
  request.on("data", (chunk: Buffer) => reading.take(chunk));
  request.on("end", () => reading.end());
  request.on("close", () => reading.leave());
}

/** A body on its way. */
class Reading {
  readonly #options: ReadBodyOptions;
  readonly #beganMs: number;
  /** Undefined once it is over. */
  #done: BodyDone | undefined;
  #chunks: Buffer[] = [];
  #size = 0;
  deadlineMs: number;
  before: Listed | undefined;
  after: Listed | undefined;

  constructor(options: ReadBodyOptions, done: BodyDone) {
    this.#options = options;
    this.#done = done;
    this.#beganMs = options.clock.monotonicMs();
    this.deadlineMs = this.#beganMs + GRACE_MS;
  }

  take(chunk: Buffer): void {
    if (this.#done === undefined) return;
    const { limitBytes, memory } = this.#options;
    if (this.#size + chunk.length > limitBytes) {
      this.#fail(tooLarge(limitBytes));
      return;
    }
    try {
      memory.take(chunk.length);
    } catch (error) {
      this.#fail(error as WeirError);
      return;
    }
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    this.deadlineMs = this.#beganMs + GRACE_MS + this.#size / SLOWEST_BYTES_PER_MS;
  }

  end(): void {
    const chunks = this.#chunks;
    const done = this.#finish();
    done?.(undefined, {
      bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
      release: createRelease(this.#options.memory, this.#size),
    });
  }

  leave(): void {
    if (this.#done !== undefined) this.#fail(new WeirError("CALLER_GONE", "Cannot read body: the caller is gone"));
  }

  onDeadline(): void {
    this.#fail(new WeirError("BODY_TOO_SLOW", "Cannot read body: it comes too slowly"));
  }

  #fail(error: WeirError): void {
    const done = this.#finish();
    if (done === undefined) return;
    this.#options.memory.give(this.#size);
    done(error, undefined);
  }

  #finish(): BodyDone | undefined {
    const done = this.#done;
    if (done === undefined) return undefined;
    this.#done = undefined;
    // The request's listeners hold on to this, and must not to the bytes.
    this.#chunks = [];
    this.#options.deadlines.remove(this);
    return done;
  }
}

/** It outlives the bytes, so it knows only how many they were. */
function createRelease(memory: BodyMemory, size: number): () => void {
  let held = true;
  return () => {
    if (held) memory.give(size);
    held = false;
  };
}

function tooLarge(limitBytes: number): WeirError {
  return new WeirError("BODY_TOO_LARGE", `Cannot read body: it is larger than ${limitBytes} bytes`, {
    facts: { limit_bytes: String(limitBytes) },
  });
}
