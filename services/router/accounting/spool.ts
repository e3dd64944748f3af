import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { type Listed, OpenList } from "../../shared/open-list.ts";
import { closeFrame, createFrameWriter, FrameType, openFrame } from "./frame.ts";
import { writeIdentity } from "./leftover.ts";
import type { ProducerName } from "./producer.ts";
import { type FactKind, type Segment, SegmentList } from "./segment-list.ts";
import type { WireWriter } from "./wire-writer.ts";

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

/** What leaves facts: a call, or a minute's refusals. */
export interface FactsSource {
  /** Writes the payload of its entry of facts, under these seqs. A usage seq of 0 says that there is no usage. */
  writeFacts(writer: WireWriter, usageSeq: number, recordSeq: number): void;
}

/** A call as the spool sees it. It writes its entries itself, again when it is carried: the spool keeps no bytes of it. */
export interface SpooledEntry extends FactsSource {
  /** 36 characters. */
  readonly eventId: string;
  /** The payload of its last note of a further attempt. */
  readonly attempt: Uint8Array | undefined;
  /** Writes what a successor needs in order to settle it: the same each time. */
  writeStarted(writer: WireWriter): void;
  /** Bytes to set aside for what it will come to, when `writeStarted` wrote so many. */
  outcomeBytes(startedBytes: number): number;
}

/** An open call and where it stands; only the spool changes it. */
export interface OpenEntry extends Listed {
  readonly entry: SpooledEntry;
  readonly reservedBytes: number;
  segment: Segment;
}

/** Facts that the disk did not take. */
interface UnwrittenFacts {
  readonly frame: Buffer;
  readonly usageSeq: number;
  readonly recordSeq: number;
}

const EVENT_ID_BYTES = 36;
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
  /** In the order in which they stand in the files. */
  readonly #open = new OpenList<OpenEntry>();
  readonly #seq: Record<FactKind, number> = { usage: 0, record: 0 };
  /** Each entry is put together here. */
  readonly #writer = createFrameWriter();
  /** Facts that the disk did not take; tried again before anything else is written. Bounded by the calls that were open. */
  #unwritten: UnwrittenFacts[] = [];
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
   * Writes that a call begins and sets aside what it will come to. Throws SPOOL_FULL when there is no room for both, or the
   * disk does not take it.
   */
  begin(entry: SpooledEntry): OpenEntry {
    if (this.#unwritten.length > 0 && !this.retry()) throw this.#refuse("the disk does not take entries");
    const startedBytes = this.#encodeStarted(entry);
    const reservedBytes = entry.outcomeBytes(startedBytes);
    if (!this.hasRoom(this.#writer.at + reservedBytes)) throw this.#refuse("it is full of what has not been shipped");
    const segment = this.#write(this.#writer.bytes, this.#writer.at);
    if (segment === undefined) throw this.#refuse("the disk does not take entries");
    const open: OpenEntry = { entry, reservedBytes, segment, before: undefined, after: undefined };
    this.#open.add(open);
    this.#reservedBytes += reservedBytes;
    return open;
  }

  /** Writes the last attempt's note of an open call. What the disk does not take is left out: the call is known anyway. */
  note({ entry }: OpenEntry): void {
    if (this.#unwritten.length > 0 || entry.attempt === undefined) return;
    this.#encodeAttempt(entry.eventId, entry.attempt);
    this.#write(this.#writer.bytes, this.#writer.at);
  }

  /** Writes what a call came to, and closes it if it was open here. Keeps it in memory while the disk fails. */
  settle(facts: FactsSource, open?: OpenEntry): void {
    this.#append(facts, this.#seq.usage + 1);
    if (open === undefined || !this.#open.remove(open)) return;
    this.#reservedBytes -= open.reservedBytes;
  }

  /** Writes a record that belongs to no call. */
  record(facts: FactsSource): void {
    this.#append(facts, 0);
  }

  /** Tries again what the disk did not take. True when nothing is left of it. */
  retry(): boolean {
    const waiting = this.#unwritten;
    this.#unwritten = [];
    for (const [index, { frame, usageSeq, recordSeq }] of waiting.entries()) {
      const segment = this.#write(frame, frame.length);
      if (segment === undefined) {
        this.#unwritten = waiting.slice(index);
        return false;
      }
      this.list.noteFacts(segment, usageSeq, recordSeq);
    }
    return true;
  }

  /** Notes how far an owner has come and removes the files that nobody needs. */
  pass(kind: FactKind, seq: number): void {
    this.list.pass(kind, seq);
    while (this.list.segments.length > 1) {
      const first = this.list.segments[0] as Segment;
      if (!this.list.isPassed(first)) return;
      if (this.#open.first?.segment === first && (this.list.segments.length <= CARRY_ABOVE || !this.#carryFrom(first)))
        return;
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

  #append(facts: FactsSource, usageSeq: number): void {
    const recordSeq = this.#seq.record + 1;
    openFrame(this.#writer, FrameType.FACTS);
    facts.writeFacts(this.#writer, usageSeq, recordSeq);
    closeFrame(this.#writer);
    // From here on they are taken: if not by the disk, then by memory.
    if (usageSeq > 0) this.#seq.usage = usageSeq;
    this.#seq.record = recordSeq;
    const { bytes, at } = this.#writer;
    // In order: behind one that waits, all wait.
    const segment = this.#unwritten.length > 0 && !this.retry() ? undefined : this.#write(bytes, at);
    if (segment === undefined) {
      this.#unwritten.push({ frame: Buffer.from(bytes.subarray(0, at)), usageSeq, recordSeq });
    } else {
      this.list.noteFacts(segment, usageSeq, recordSeq);
    }
  }

  /** Returns how many bytes the entry wrote. */
  #encodeStarted(entry: SpooledEntry): number {
    const writer = this.#writer;
    openFrame(writer, FrameType.STARTED);
    writer.latin1(entry.eventId, EVENT_ID_BYTES);
    const from = writer.at;
    entry.writeStarted(writer);
    closeFrame(writer);
    return writer.at - from;
  }

  #encodeAttempt(eventId: string, attempt: Uint8Array): void {
    openFrame(this.#writer, FrameType.ATTEMPT);
    this.#writer.latin1(eventId, EVENT_ID_BYTES);
    this.#writer.raw(attempt);
    closeFrame(this.#writer);
  }

  // Those of the first file are the first ones, since what is carried goes to the end.
  #carryFrom(first: Segment): boolean {
    for (const open of this.#open.list(({ segment }) => segment === first)) {
      const { entry } = open;
      this.#encodeStarted(entry);
      const segment = this.#write(this.#writer.bytes, this.#writer.at);
      if (segment === undefined) return false;
      open.segment = segment;
      this.#open.remove(open);
      this.#open.add(open);
      this.note(open);
    }
    return true;
  }

  /** Writes a whole entry, or nothing of it: then it returns nothing. */
  #write(bytes: Buffer, length: number): Segment | undefined {
    const startMs = performance.now();
    try {
      if (this.#segment.bytes >= this.#segmentBytes) this.#roll();
      let written = 0;
      while (written < length) written += writeSync(this.#file, bytes, written, length - written);
      this.#options.onWritten?.(performance.now() - startMs);
    } catch (error) {
      if (!this.#isFailing) this.#options.onFailing?.(error);
      this.#isFailing = true;
      this.#cut();
      return undefined;
    }
    this.#isFailing = false;
    this.list.grow(this.#segment, length);
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
