import { FRAME_LIMIT_BYTES } from "./frame.ts";
import { WireWriter } from "./wire-writer.ts";

/** Most facts in a message on the bus. */
export const BATCH_FACTS = 500;
/** Most bytes of facts in a message, unless one alone has more: half of what the bus takes. */
export const BATCH_BYTES = 512 * 1024;

/** Both UsageRecordedBatch and AuditRecordedBatch hold their facts there. */
const FACTS_FIELD = 1;

/**
 * Facts on their way: a UsageRecordedBatch or AuditRecordedBatch, put together from their bytes. Nothing is decoded and encoded
 * again, so a record stays as its producer said it. One is filled again and again: who handed out its payload must know that
 * nobody looks at it any more.
 */
export class Batch {
  readonly #writer = new WireWriter(FRAME_LIMIT_BYTES + BATCH_BYTES);
  readonly #countLimit: number;
  readonly #bytesLimit: number;
  #count = 0;
  #bytes = 0;
  #firstSeq = 0;
  #lastSeq = 0;

  constructor(countLimit = BATCH_FACTS, bytesLimit = BATCH_BYTES) {
    this.#countLimit = countLimit;
    this.#bytesLimit = bytesLimit;
  }

  /** How many facts are in it. */
  get count(): number {
    return this.#count;
  }

  /** Seq of its first fact. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Seq of its last fact. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** The message. A view of what is filled again. */
  get payload(): Uint8Array {
    return this.#writer.bytes.subarray(0, this.#writer.at);
  }

  /** Empties it. */
  clear(): void {
    this.#writer.at = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  /** Adds the fact that stands in `source` from `start` to `end`. False when it is full: then the fact is not in it. */
  add(seq: number, source: Uint8Array, start: number, end: number): boolean {
    const size = end - start;
    if (this.#count === this.#countLimit || (this.#count > 0 && this.#bytes + size > this.#bytesLimit)) return false;
    if (this.#count === 0) this.#firstSeq = seq;
    this.#lastSeq = seq;
    this.#count += 1;
    this.#bytes += size;
    this.#writer.message(FACTS_FIELD, source.subarray(start, end));
    return true;
  }
}
