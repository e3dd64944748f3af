import { unlinkSync } from "node:fs";
import { join } from "node:path";

/** The two rows of facts that a router leaves: usages for metering, records for the audit of its region. */
export type FactKind = "usage" | "record";
/** Both. */
export const FACT_KINDS: readonly FactKind[] = ["usage", "record"];

/** A file of the spool. Entries are only ever added to the last one of a running process. */
export interface Segment {
  /** From 1, in the order of writing. */
  readonly index: number;
  readonly path: string;
  /** Bytes of whole entries. */
  bytes: number;
  /** Bytes of those whose check was seen good when they were read to be shipped: it is looked at once for both kinds. */
  checkedBytes: number;
  /** The highest seq of each kind in it; 0 when there is none. */
  readonly last: Record<FactKind, number>;
}

const NAME = /^([0-9]{8})\.segment$/;

/** The number of a segment by the name of its file; undefined for another file. */
export function parseSegmentName(name: string): number | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/**
 * The files of one life of a router, and what of them is still needed: an entry until the owner of its fact has it. Files go
 * from the front only, so that a call's beginning is never there without what it came to.
 */
export class SegmentList {
  readonly directory: string;
  /** In order. */
  readonly segments: Segment[] = [];
  /** The highest seq written, by kind. */
  readonly last: Record<FactKind, number> = { usage: 0, record: 0 };
  /** The seq up to which the owner has all, by kind. */
  readonly watermark: Record<FactKind, number> = { usage: 0, record: 0 };
  /** Sum of the files. */
  bytes = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Adds a file at the end. */
  add(index: number): Segment {
    const path = join(this.directory, `${String(index).padStart(8, "0")}.segment`);
    const segment: Segment = { index, path, bytes: 0, checkedBytes: 0, last: { usage: 0, record: 0 } };
    this.segments.push(segment);
    return segment;
  }

  /** Counts an entry that is in a file now. */
  grow(segment: Segment, bytes: number): void {
    segment.bytes += bytes;
    this.bytes += bytes;
  }

  /** Notes which facts are in a file now; a seq of 0 is none. */
  noteFacts(segment: Segment, usageSeq: number, recordSeq: number): void {
    if (usageSeq > segment.last.usage) segment.last.usage = usageSeq;
    if (recordSeq > segment.last.record) segment.last.record = recordSeq;
    if (usageSeq > this.last.usage) this.last.usage = usageSeq;
    if (recordSeq > this.last.record) this.last.record = recordSeq;
  }

  /** Notes that the owner of a kind has everything up to a seq. It never falls. */
  pass(kind: FactKind, seq: number): void {
    this.watermark[kind] = Math.max(this.watermark[kind], Math.min(seq, this.last[kind]));
  }

  /** Whether the owners have every fact of a file. */
  isPassed(segment: Segment): boolean {
    return FACT_KINDS.every((kind) => segment.last[kind] <= this.watermark[kind]);
  }

  /** Whether the owners have every fact. */
  get isAllPassed(): boolean {
    return FACT_KINDS.every((kind) => this.last[kind] <= this.watermark[kind]);
  }

  /** Removes the first file. */
  removeFirst(): void {
    const segment = this.segments.shift();
    if (segment === undefined) return;
    this.bytes -= segment.bytes;
    unlinkSync(segment.path);
  }
}
