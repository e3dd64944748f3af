import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { type Listed, OpenList } from "../../shared/open-list.ts";
import { closeFrame, createFrameWriter, FrameType, openFrame } from "./frame.ts";
import { writeIdentity } from "./leftover.ts";
import type { ProducerName } from "./producer.ts";
import { type FactKind, type Segment, SegmentList } from "./segment-list.ts";
import { Stage, type StagedEntry } from "./stage.ts";
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
  /** Its facts are taken: they are on disk, or wait in memory while the disk fails. */
  onTaken(): void;
}

/** A call as the spool sees it. It writes its entries itself, again when it is carried: the spool keeps no bytes of it. */
export interface SpooledEntry extends FactsSource {
  /** 36 characters. */
  readonly eventId: string;
  /** That it begins is on disk. */
  onBegun(): void;
  /** The disk did not take that it begins; it is not open any longer. */
  onRefused(error: WeirError): void;
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

/** Facts with their seqs; that of the usage is 0 when there is none. */
export interface SpooledFacts {
  readonly source: FactsSource;
  readonly usageSeq: number;
  readonly recordSeq: number;
}

/** Facts that the disk did not take. */
interface UnwrittenFacts {
  readonly frame: Buffer;
  readonly facts: SpooledFacts;
}

const EVENT_ID_BYTES = 36;
const DISK_FAILS = "the disk does not take entries";
const RETRY_AFTER_MS = 5_000;
const SEGMENT_BYTES = 8 * 2 ** 20;
/** With more files than these, calls that have been open for long are carried to the newest, so that old files can go. */
const CARRY_ABOVE = 4;

/**
 * The facts of this life on disk. What calls leave within one turn of the event loop is written at its end, by one write, and only
 * then are they told: nothing of a call is sent, and no answer ends, before its entry has left this process. So an entry survives a killed
 * process (not a power cut), and under load costs a fraction of a system call. Room for what a call comes to is set aside when it
 * begins, so a full spool refuses new calls and never loses an outcome.
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
  /** What this turn left so far. */
  readonly #stage = new Stage();
  #turnEnd: NodeJS.Immediate | undefined;
  /** Entries of which something is still to be told: what is written comes first. */
  #written: StagedEntry[] = [];
  #refused: StagedEntry[] = [];
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
    return this.list.bytes + this.#stage.sizeBytes + this.#reservedBytes + this.#options.otherBytes();
  }

  /** Whether so many bytes more are within the limit, and the disk takes what it is given. */
  hasRoom(bytes: number): boolean {
    return this.#unwritten.length === 0 && this.usedBytes + bytes <= this.#options.limitBytes;
  }

  /**
   * Takes that a call begins and sets aside what it will come to; `onBegun` or `onRefused` of the entry follows. Throws SPOOL_FULL
   * when there is no room for both, or the disk does not take entries.
   */
  begin(entry: SpooledEntry): OpenEntry {
    if (this.#unwritten.length > 0 && !this.retry()) throw this.#refuse(DISK_FAILS);
    const startedBytes = this.#encodeStarted(entry);
    const reservedBytes = entry.outcomeBytes(startedBytes);
    if (!this.hasRoom(this.#writer.at + reservedBytes)) throw this.#refuse("it is full of what has not been shipped");
    if (!this.#makeRoom()) throw this.#refuse(DISK_FAILS);
    const open: OpenEntry = { entry, reservedBytes, segment: this.#segment, before: undefined, after: undefined };
    this.#open.add(open);
    this.#reservedBytes += reservedBytes;
    this.#add(open, undefined);
    return open;
  }

  /** Takes the last attempt's note of an open call. What the disk does not take is left out: the call is known anyway. */
  note({ entry }: OpenEntry): void {
    if (this.#unwritten.length > 0 || entry.attempt === undefined) return;
    this.#encodeAttempt(entry.eventId, entry.attempt);
    if (this.#makeRoom()) this.#add(undefined, undefined);
  }

  /** Takes what a call came to, and closes it if it was open here; `onTaken` follows. Keeps it in memory while the disk fails. */
  settle(facts: FactsSource, open?: OpenEntry): void {
    this.#append(facts, this.#seq.usage + 1);
    if (open !== undefined) this.#closeCall(open);
  }

  /** Takes a record that belongs to no call; `onTaken` follows. */
  record(facts: FactsSource): void {
    this.#append(facts, 0);
  }

  /** Tries again what the disk did not take. True when nothing is left of it. */
  retry(): boolean {
    const waiting = this.#unwritten;
    this.#unwritten = [];
    for (const [index, { frame, facts }] of waiting.entries()) {
      const segment = this.#write(frame, frame.length);
      if (segment === undefined) {
        this.#unwritten = waiting.slice(index);
        return false;
      }
      this.list.noteFacts(segment, facts.usageSeq, facts.recordSeq);
    }
    return true;
  }

  /** Writes what this turn left so far and tells whose entries they are. Comes by itself at the end of each turn. */
  flush(): void {
    this.#writeStage();
    const [written, refused] = [this.#written, this.#refused];
    this.#written = [];
    this.#refused = [];
    for (const { open, facts } of written) {
      open?.entry.onBegun();
      facts?.source.onTaken();
    }
    for (const { open, facts } of refused) {
      open?.entry.onRefused(this.#refuse(DISK_FAILS));
      // They wait in memory.
      facts?.source.onTaken();
    }
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
    this.flush();
    clearImmediate(this.#turnEnd);
    this.retry();
    fsyncSync(this.#file);
    closeSync(this.#file);
    if (this.list.isAllPassed && this.#open.size === 0 && this.#unwritten.length === 0) {
      rmSync(this.list.directory, { recursive: true, force: true });
    }
  }

  #append(source: FactsSource, usageSeq: number): void {
    const recordSeq = this.#seq.record + 1;
    openFrame(this.#writer, FrameType.FACTS);
    source.writeFacts(this.#writer, usageSeq, recordSeq);
    closeFrame(this.#writer);
    // From here on they are taken: if not by the disk, then by memory.
    if (usageSeq > 0) this.#seq.usage = usageSeq;
    this.#seq.record = recordSeq;
    const facts: SpooledFacts = { source, usageSeq, recordSeq };
    // In order: behind one that waits, all wait.
    if ((this.#unwritten.length === 0 || this.retry()) && this.#makeRoom()) this.#add(undefined, facts);
    else this.#keep(facts, this.#writer.bytes.subarray(0, this.#writer.at));
  }

  #closeCall(open: OpenEntry): void {
    if (this.#open.remove(open)) this.#reservedBytes -= open.reservedBytes;
  }

  /** Makes room for the entry in the writer among those of this turn. False when the disk does not take what goes before it. */
  #makeRoom(): boolean {
    if (!this.#stage.hasRoom(this.#writer.at) && !this.#writeStage()) return false;
    // All of a turn goes into one file.
    return this.#stage.sizeBytes > 0 || this.#segment.bytes < this.#segmentBytes || this.#tryRoll();
  }

  #add(open: OpenEntry | undefined, facts: SpooledFacts | undefined): void {
    this.#stage.add(this.#writer, open, facts);
    this.#turnEnd ??= setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#turnEnd = undefined;
    this.flush();
  };

  /** Writes what is staged, all of it or nothing. False when the disk does not take it. */
  #writeStage(): boolean {
    if (this.#stage.sizeBytes === 0) return true;
    const { bytes, entries } = this.#stage.take();
    const segment = this.#write(bytes, bytes.length);
    if (segment === undefined) {
      for (const entry of entries) this.#takeBack(entry, bytes);
      return false;
    }
    for (const { facts } of entries) {
      if (facts !== undefined) this.list.noteFacts(segment, facts.usageSeq, facts.recordSeq);
    }
    this.#written = this.#written.length === 0 ? entries : this.#written.concat(entries);
    return true;
  }

  #takeBack(entry: StagedEntry, bytes: Buffer): void {
    if (entry.open !== undefined) this.#closeCall(entry.open);
    if (entry.facts !== undefined)
      this.#unwritten.push({ frame: Buffer.from(bytes.subarray(entry.from, entry.to)), facts: entry.facts });
    this.#refused.push(entry);
  }

  /** Keeps facts in memory that the disk does not take. */
  #keep(facts: SpooledFacts, frame: Buffer): void {
    this.#unwritten.push({ frame: Buffer.from(frame), facts });
    this.#refused.push({ from: 0, to: 0, open: undefined, facts });
    this.#turnEnd ??= setImmediate(this.#endTurn);
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
    if (!this.#writeStage()) return false;
    for (const open of this.#open.list(({ segment }) => segment === first)) {
      const { entry } = open;
      this.#encodeStarted(entry);
      const segment = this.#write(this.#writer.bytes, this.#writer.at);
      if (segment === undefined) return false;
      open.segment = segment;
      this.#open.remove(open);
      this.#open.add(open);
      this.note(open);
      if (!this.#writeStage()) return false;
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
      this.#noteFailure(error);
      this.#cut();
      return undefined;
    }
    this.#isFailing = false;
    this.list.grow(this.#segment, length);
    return this.#segment;
  }

  /** Begins another file. False when the disk does not let it. */
  #tryRoll(): boolean {
    try {
      this.#roll();
      return true;
    } catch (error) {
      this.#noteFailure(error);
      return false;
    }
  }

  #roll(): void {
    const index = this.#segment.index + 1;
    const path = join(this.list.directory, `${String(index).padStart(8, "0")}.segment`);
    const file = openSync(path, "ax", 0o600);
    closeSync(this.#file);
    this.#file = file;
    this.#segment = this.list.add(index);
  }

  #noteFailure(error: unknown): void {
    if (!this.#isFailing) this.#options.onFailing?.(error);
    this.#isFailing = true;
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
