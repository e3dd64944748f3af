import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { ProducerName } from "./facts.ts";
import { encodeFacts, type Facts } from "./facts-frame.ts";
import { encodeFrame, FrameType } from "./frame.ts";
import { writeIdentity } from "./leftover.ts";
import { type FactKind, type Segment, SegmentList } from "./segment-list.ts";

/** How a spool is made. */
export interface SpoolOptions {
  /** Directory of all lives of this router. */
  readonly root: string;
  readonly producer: ProducerName;
  /** Bytes that the files of all lives may have, with what open calls will still need. From 1 MiB. */
  readonly limitBytes: number;
  /** Bytes that the files of earlier lives have now. */
  readonly otherBytes: () => number;
  /** Bytes after which a new file is begun. Default 8 MiB, and at most an eighth of the limit. */
  readonly segmentBytes?: number;
  /** Called after each write with how long it took. */
  readonly onWritten?: (durationMs: number) => void;
  /** Called with the file system's error when the disk begins to refuse entries; once an outage. */
  readonly onFailing?: (error: unknown) => void;
}

interface OpenEntry {
  readonly eventId: string;
  readonly started: Buffer;
  readonly reservedBytes: number;
  attempt: Buffer | undefined;
  segment: Segment;
}

const RETRY_AFTER_MS = 5_000;
const SEGMENT_BYTES = 8 * 2 ** 20;
/** With more files than these, calls that have been open for long are carried to the newest, so that old files can go. */
const CARRY_ABOVE = 4;

/**
 * The facts of this life on disk, each entry by one write: it survives a killed process, not a power cut. Room for what a call
 * comes to is set aside when it begins, so a full spool refuses new calls and never loses an outcome.
 */
export class Spool {
  readonly list: SegmentList;
  readonly #options: SpoolOptions;
  readonly #segmentBytes: number;
  readonly #open = new Map<string, OpenEntry>();
  readonly #openIn = new Map<Segment, Set<OpenEntry>>();
  readonly #seq: Record<FactKind, number> = { usage: 0, record: 0 };
  /** Facts that the disk did not take; tried again before anything else is written. Bounded by the calls that were open. */
  #unwritten: { readonly frame: Buffer; readonly facts: Facts }[] = [];
  #reservedBytes = 0;
  #isFailing = false;
  #segment: Segment;
  #file: number;

  /** Makes the directory of a new life. Throws what the file system throws. */
  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#segmentBytes = Math.min(options.segmentBytes ?? SEGMENT_BYTES, Math.floor(options.limitBytes / 8));
    const directory = join(options.root, options.producer.boot);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeIdentity(directory, options.producer);
    this.list = new SegmentList(directory);
    this.#segment = this.list.add(1);
    this.#file = openSync(this.#segment.path, "ax", 0o600);
  }

  /** How many calls have begun and are not settled. */
  get openCalls(): number {
    return this.#open.size;
  }

  /** Bytes that are taken or set aside. */
  get usedBytes(): number {
    return this.list.bytes + this.#reservedBytes + this.#options.otherBytes();
  }

  /** Whether so many bytes more are within the limit, and the disk takes what it is given. */
  hasRoom(bytes: number): boolean {
    return this.#unwritten.length === 0 && this.usedBytes + bytes <= this.#options.limitBytes;
  }

  /**
   * Writes that a call begins and sets `reserveBytes` aside for what it will come to. Throws SPOOL_FULL when there is no room
   * for both, or the disk does not take it.
   */
  begin(eventId: string, started: Buffer, reserveBytes: number): void {
    if (this.#unwritten.length > 0) this.retry();
    const frame = encodeFrame(FrameType.STARTED, [Buffer.from(eventId, "latin1"), started]);
    if (this.#unwritten.length > 0) throw this.#refuse("the disk does not take entries");
    if (!this.hasRoom(frame.length + reserveBytes)) throw this.#refuse("it is full of what has not been shipped");
    const segment = this.#write(frame);
    if (segment === undefined) throw this.#refuse("the disk does not take entries");
    const entry: OpenEntry = { eventId, started, reservedBytes: reserveBytes, attempt: undefined, segment };
    this.#open.set(eventId, entry);
    this.#place(entry, segment);
    this.#reservedBytes += reserveBytes;
  }

  /** Writes that an open call goes on to a further target. What the disk does not take is left out: the call is known anyway. */
  note(eventId: string, attempt: Buffer): void {
    const entry = this.#open.get(eventId);
    if (entry === undefined || this.#unwritten.length > 0) return;
    entry.attempt = attempt;
    this.#write(encodeFrame(FrameType.ATTEMPT, [Buffer.from(eventId, "latin1"), attempt]));
  }

  /** Writes what a call came to. `build` is given the seqs of its usage and its record. Keeps it in memory while the disk fails. */
  settle(build: (usageSeq: number, recordSeq: number) => Facts): void {
    const facts = build(this.#seq.usage + 1, this.#seq.record + 1);
    this.#seq.usage = facts.usageSeq;
    this.#seq.record = facts.recordSeq;
    this.#append(facts);
    const entry = this.#open.get(facts.eventId);
    if (entry === undefined) return;
    this.#open.delete(facts.eventId);
    this.#openIn.get(entry.segment)?.delete(entry);
    this.#reservedBytes -= entry.reservedBytes;
  }

  /** Writes a record that belongs to no call. */
  record(build: (recordSeq: number) => Facts): void {
    const facts = build(this.#seq.record + 1);
    this.#seq.record = facts.recordSeq;
    this.#append(facts);
  }

  /** Tries again what the disk did not take. True when nothing is left of it. */
  retry(): boolean {
    const waiting = this.#unwritten;
    this.#unwritten = [];
    for (const [index, { frame, facts }] of waiting.entries()) {
      const segment = this.#write(frame);
      if (segment === undefined) {
        this.#unwritten = waiting.slice(index);
        return false;
      }
      this.list.noteFacts(segment, facts);
    }
    return true;
  }

  /** Notes how far an owner has come and removes the files that nobody needs. */
  pass(kind: FactKind, seq: number): void {
    this.list.pass(kind, seq);
    while (this.list.segments.length > 1) {
      const first = this.list.segments[0] as Segment;
      if (!this.list.isPassed(first)) return;
      const open = this.#openIn.get(first);
      if (open !== undefined && open.size > 0) {
        if (this.list.segments.length <= CARRY_ABOVE || !this.#carry(open)) return;
      }
      this.#openIn.delete(first);
      this.list.removeFirst();
    }
  }

  /** Brings everything to the platter and closes. Removes all when the owners have every fact and no call is open. */
  close(): void {
    this.retry();
    fsyncSync(this.#file);
    closeSync(this.#file);
    if (this.list.isAllPassed && this.#open.size === 0 && this.#unwritten.length === 0) {
      rmSync(this.list.directory, { recursive: true, force: true });
    }
  }

  #append(facts: Facts): void {
    const frame = encodeFrame(FrameType.FACTS, encodeFacts(facts));
    // In order: behind one that waits, all wait.
    const segment = this.#unwritten.length > 0 && !this.retry() ? undefined : this.#write(frame);
    if (segment === undefined) this.#unwritten.push({ frame, facts });
    else this.list.noteFacts(segment, facts);
  }

  #carry(open: ReadonlySet<OpenEntry>): boolean {
    for (const entry of [...open]) {
      const id = Buffer.from(entry.eventId, "latin1");
      const segment = this.#write(encodeFrame(FrameType.STARTED, [id, entry.started]));
      if (segment === undefined) return false;
      this.#openIn.get(entry.segment)?.delete(entry);
      this.#place(entry, segment);
      if (entry.attempt !== undefined) this.#write(encodeFrame(FrameType.ATTEMPT, [id, entry.attempt]));
    }
    return true;
  }

  #place(entry: OpenEntry, segment: Segment): void {
    entry.segment = segment;
    const entries = this.#openIn.get(segment);
    if (entries === undefined) this.#openIn.set(segment, new Set([entry]));
    else entries.add(entry);
  }

  /** Writes a whole entry, or nothing of it: then it returns nothing. */
  #write(frame: Buffer): Segment | undefined {
    const startMs = performance.now();
    try {
      if (this.#segment.bytes >= this.#segmentBytes) this.#roll();
      let written = 0;
      while (written < frame.length) written += writeSync(this.#file, frame, written);
      this.#options.onWritten?.(performance.now() - startMs);
    } catch (error) {
      if (!this.#isFailing) this.#options.onFailing?.(error);
      this.#isFailing = true;
      this.#cut();
      return undefined;
    }
    this.#isFailing = false;
    this.list.grow(this.#segment, frame.length);
    return this.#segment;
  }

  #roll(): void {
    const index = this.#segment.index + 1;
    const path = join(this.list.directory, `${String(index).padStart(8, "0")}.segment`);
    const file = openSync(path, "ax", 0o600);
    closeSync(this.#file);
    this.#file = file;
    this.#segment = this.list.add(index);
  }

  // What a full disk took of an entry must not stand between two whole ones.
  #cut(): void {
    try {
      ftruncateSync(this.#file, this.#segment.bytes);
    } catch {
      // Then the entry's check fails when it is read, and what follows it in this file is lost: begin another one.
      try {
        this.#roll();
      } catch {
        // Tried again at the next write.
      }
    }
  }

  #refuse(state: string): WeirError {
    return new WeirError("SPOOL_FULL", `Cannot start call: the spool cannot hold its outcome, ${state}`, {
      facts: { used_bytes: String(this.usedBytes), limit_bytes: String(this.#options.limitBytes) },
      retryAfterMs: RETRY_AFTER_MS,
    });
  }
}
