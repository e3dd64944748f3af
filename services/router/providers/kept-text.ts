/** Where kept text gets its memory; throws when there is none left. */
export interface TextMemory {
  take(bytes: number): void;
  give(bytes: number): void;
}

/** Most bytes of text that are kept of an answer, and of a request. */
export const MOST_KEPT_BYTES = 256 * 1024;

/** The first memory of a text; most answers need no more. */
const FIRST_BYTES = 1024;
/** Up to this size a loop copies faster than the call of a copy takes. */
const SMALL_BYTES = 48;
const NO_BYTES = Buffer.alloc(0);

/**
 * The text of an answer while it goes by, kept so that its tokens can be counted if the provider does not say them: in one piece of
 * memory that doubles, up to {@link MOST_KEPT_BYTES}; of what comes after that only the size is known. What is kept stands there as
 * it stood in JSON, with its escapes. When there is no memory left, no more is kept.
 */
export class KeptText {
  /** Bytes of text that were offered. */
  seenBytes = 0;
  /** How many of them are kept; the first ones. */
  keptBytes = 0;
  readonly #memory: TextMemory | undefined;
  #buffer: Buffer = NO_BYTES;
  #isFull = false;

  /** `memory` is where the bytes count that are kept; without it they count nowhere, as in a test. */
  constructor(memory?: TextMemory) {
    this.#memory = memory;
  }

  /** Keeps what stands in a JSON string, without its quotes. */
  take(bytes: Uint8Array, from: number, to: number): void {
    this.seenBytes += to - from;
    if (this.#isFull) return;
    const at = this.keptBytes;
    if (at + to - from > this.#buffer.length) {
      this.#grow(at + to - from);
      const most = this.#buffer.length - at;
      if (to - from > most) {
        this.#isFull = true;
        to = from + most;
      }
    }
    const buffer = this.#buffer;
    if (to - from <= SMALL_BYTES) for (let i = from, j = at; i < to; i += 1, j += 1) buffer[j] = bytes[i]!;
    else buffer.set(bytes.subarray(from, to), at);
    this.keptBytes = at + to - from;
  }

  /** Keeps a text that was parsed already. */
  takeText(text: string): void {
    if (text === "") return;
    const written = Buffer.from(JSON.stringify(text));
    this.take(written, 1, written.length - 1);
  }

  /** Forgets what was offered after that many bytes: it was no text after all. */
  rewind(seenBytes: number): void {
    this.seenBytes = seenBytes;
    if (seenBytes >= this.keptBytes) return;
    this.keptBytes = seenBytes;
    this.#isFull = false;
  }

  /** Hands over what is kept, in memory of its own that may be given to another thread. Nothing is kept after that. */
  handOver(): Uint8Array<ArrayBuffer> {
    const bytes = this.#buffer.subarray(0, this.keptBytes) as Uint8Array<ArrayBuffer>;
    this.release();
    return bytes;
  }

  /** Lets go of what is kept. */
  release(): void {
    this.#isFull = true;
    if (this.#buffer.length > 0) this.#memory?.give(this.#buffer.length);
    this.#buffer = NO_BYTES;
  }

  /** Makes room for that many bytes, or for as many as may be. */
  #grow(bytes: number): void {
    let size = Math.max(this.#buffer.length, FIRST_BYTES);
    while (size < bytes && size < MOST_KEPT_BYTES) size *= 2;
    if (size === this.#buffer.length) return;
    try {
      this.#memory?.take(size - this.#buffer.length);
    } catch {
      // The memory for bodies is full: what is kept so far has to stand for the rest.
      return;
    }
    const larger = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(larger, 0, 0, this.keptBytes);
    this.#buffer = larger;
  }
}
