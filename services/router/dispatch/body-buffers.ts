import type { BodyAllocator } from "../providers/dialect.ts";

/** Smaller ones come from Node's own slab, which costs next to nothing. */
const SMALL_BYTES = 4 * 1024;
/** Larger ones are rare, and get memory of their own. */
const LARGE_BYTES = 64 * 1024;
/** Most buffers that are kept of each size: at most 15 MiB in all. */
const MOST = 128;

/**
 * Memory for the bodies that are composed for targets, used again as soon as one is sent. Fresh memory is handed out by the
 * kernel page by page, at the first touch: for a body of 35 KB that takes six to ten times as long as the copy itself.
 */
export class BodyBuffers implements BodyAllocator {
  readonly #ours = new WeakSet<ArrayBufferLike>();
  /** By size, which is a power of two. What was used last is taken first: it is still in the processor's cache. */
  readonly #free = new Map<number, ArrayBufferLike[]>();

  /** Memory for a body, with whatever stood in it before. */
  allocate(sizeBytes: number): Buffer {
    if (sizeBytes <= SMALL_BYTES || sizeBytes > LARGE_BYTES) return Buffer.allocUnsafe(sizeBytes);
    const wholeBytes = 2 ** (32 - Math.clz32(sizeBytes - 1));
    const free = this.#free.get(wholeBytes)?.pop();
    if (free !== undefined) return Buffer.from(free, 0, sizeBytes);
    const fresh = Buffer.allocUnsafeSlow(wholeBytes);
    this.#ours.add(fresh.buffer);
    return fresh.subarray(0, sizeBytes);
  }

  /** Takes a body back, if it is of these. Nobody may read it any longer: not its connection, nor a later attempt. */
  give({ buffer }: Buffer): void {
    if (!this.#ours.has(buffer)) return;
    const free = this.#free.get(buffer.byteLength);
    if (free === undefined) this.#free.set(buffer.byteLength, [buffer]);
    else if (free.length < MOST) free.push(buffer);
  }
}
