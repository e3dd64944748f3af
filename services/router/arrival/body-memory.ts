import { WeirError } from "../../shared/errors/weir-error.ts";

/** After how long a caller may try again who found the memory full. Bodies come and go within a second. */
const RETRY_AFTER_MS = 1_000;

/**
 * The memory that bodies may take in this process, all callers together: of requests from their first byte until their chat is
 * over, and of answers that are held whole. What is taken must be given back exactly once.
 */
export class BodyMemory {
  readonly #limitBytes: number;
  #usedBytes = 0;

  /** `limitBytes` from 1. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** What is taken now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes some. Throws BODY_MEMORY_FULL, with nothing taken, when there is not as much left. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > this.#limitBytes) {
      throw new WeirError("BODY_MEMORY_FULL", "Cannot read body: the memory for bodies is full", {
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    this.#usedBytes += bytes;
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
