import { type FileHandle, open } from "node:fs/promises";
import { decodeFacts } from "./facts-frame.ts";
import { FRAME_LIMIT_BYTES, FrameType, readFrame } from "./frame.ts";
import type { FactKind, Segment, SegmentList } from "./segment-list.ts";

/** A fact as it is to be sent. */
export interface SpooledFact {
  readonly seq: number;
  /** A UsageRecorded or an AuditRecorded, encoded. */
  readonly bytes: Uint8Array;
}

const CHUNK_BYTES = 256 * 1024;

/** Reads the facts of one kind from the files of one life, in the order of their seq, with a bounded piece of a file in memory. */
export class FactReader {
  readonly #list: SegmentList;
  readonly #kind: FactKind;
  #wanted = 1;
  #index = 0;
  #offset = 0;

  constructor(list: SegmentList, kind: FactKind) {
    this.#list = list;
    this.#kind = kind;
  }

  /** The seq that is read next. */
  get position(): number {
    return this.#wanted;
  }

  /** Reads from `seq` next, also again. What the owner has is no longer there. */
  rewind(seq: number): void {
    this.#wanted = seq;
    this.#index = 0;
    this.#offset = 0;
  }

  /** The next facts: as many as there are, at most `count`, and no more bytes than `bytes` unless the first alone has more. */
  async next(count: number, bytes: number): Promise<SpooledFact[]> {
    const facts: SpooledFact[] = [];
    let left = bytes;
    while (facts.length < count) {
      const segment = this.#findSegment();
      if (segment === undefined) break;
      const before = this.#wanted;
      const offset = this.#offset;
      const isFull = await this.#readSome(segment, (fact) => {
        if (facts.length === count || (facts.length > 0 && fact.bytes.length > left)) return false;
        left -= fact.bytes.length;
        facts.push(fact);
        return true;
      });
      if (isFull) break;
      // Nothing came of it although there should be something: what is there is not readable, and no wait mends it.
      if (this.#wanted === before && this.#offset === offset && this.#index === segment.index) break;
    }
    return facts;
  }

  #findSegment(): Segment | undefined {
    const segment = this.#list.segments.find(
      ({ index, last }) => index >= this.#index && last[this.#kind] >= this.#wanted,
    );
    if (segment !== undefined && segment.index !== this.#index) {
      this.#index = segment.index;
      this.#offset = 0;
    }
    return segment;
  }

  /** Hands over the facts of the next piece of a file; true when `take` wants no more. */
  async #readSome(segment: Segment, take: (fact: SpooledFact) => boolean): Promise<boolean> {
    let file: FileHandle;
    try {
      file = await open(segment.path, "r");
    } catch (error) {
      // Its facts have arrived meanwhile, and it was removed.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
    try {
      let chunk = await this.#readChunk(file, segment, CHUNK_BYTES);
      const first = readFrame(chunk, 0);
      if (first.kind === "short" && first.needs <= FRAME_LIMIT_BYTES * 2) {
        chunk = await this.#readChunk(file, segment, first.needs);
      }
      return this.#takeFrames(chunk, take);
    } finally {
      await file.close();
    }
  }

  #takeFrames(chunk: Buffer, take: (fact: SpooledFact) => boolean): boolean {
    let at = 0;
    for (;;) {
      const verdict = readFrame(chunk, at);
      if (verdict.kind !== "frame") return false;
      const { frame, bytes } = verdict;
      if (frame.type === FrameType.FACTS) {
        const facts = decodeFacts(frame.payload);
        const seq = this.#kind === "usage" ? facts.usageSeq : facts.recordSeq;
        if (seq >= this.#wanted) {
          if (!take({ seq, bytes: this.#kind === "usage" ? facts.usage : facts.record })) return true;
          this.#wanted = seq + 1;
        }
      }
      at += bytes;
      this.#offset += bytes;
    }
  }

  async #readChunk(file: FileHandle, segment: Segment, size: number): Promise<Buffer> {
    // Not beyond the whole entries: behind them another one may be half written at this moment.
    const length = Math.max(0, Math.min(size, segment.bytes - this.#offset));
    const chunk = Buffer.allocUnsafe(length);
    let read = 0;
    while (read < length) {
      const { bytesRead } = await file.read(chunk, read, length - read, this.#offset + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return chunk.subarray(0, read);
  }
}
