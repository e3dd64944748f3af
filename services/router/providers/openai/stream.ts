import type { ProviderFailure, Quantities, StreamReader, StreamReaderOptions } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { toStatedFailure } from "./error.ts";
import { hasText, readUsage } from "./usage.ts";

/** Largest event that is taken. Beyond it the stream counts as broken. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024;
/** Most that is held back while there is no content. */
const MAX_PREAMBLE_BYTES = 1024 * 1024;

const CHOICES = 0;
const USAGE = 1;
const ERROR = 2;
// An event's strings are short: below half a kilobyte words bring nothing.
const scan = new JsonScan(watchKeys(["choices", "usage", "error"], { nested: "finish_reason", wordsFromBytes: 512 }));

const DONE = Buffer.from("[DONE]");
const DONE_EVENT = Buffer.from("data: [DONE]\n\n");
const NO_BYTES = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/**
 * Reads the server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) of a streamed chat while they
 * are relayed. Only whole events go on, so that what Weir adds after a cut never lands within one. Nothing is held back or
 * copied as long as reads end where events end, as they do with every provider known; what a read leaves over is kept until it
 * is complete. Lines end with LF or CR LF; a bare CR, which the specification allows, is not known of any provider.
 *
 * Each event's structure is scanned, not parsed: where `choices`, `usage` and `error` stand, and how much text there is. For a
 * caller who did not ask for usage the event that carries it is left out, and `"usage":null` is blanked out of the others with
 * spaces, in place.
 */
export class OpenAiStreamReader implements StreamReader {
  readonly #wantsUsage: boolean;
  readonly #candidates: number;
  /** What came after the last whole event; the first `#carried` bytes count. */
  #carry: Buffer = NO_BYTES;
  #carried = 0;
  /** Of the event that is not whole yet: where its last line begins, and where its data is. Offsets from its beginning. */
  #line = 0;
  #dataStart = -1;
  #dataEnd = -1;
  #dataLines = 0;
  /** What was read before there was content. */
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  #usage: unknown;
  #finished = 0;
  #done = false;
  #hasContent = false;
  #hasText = false;
  #failure: ProviderFailure | undefined;
  #textBytes = 0;
  #events = 0;
  /** Pieces that take the place of what was read, when an event had to be written anew. */
  #rewritten: Buffer | undefined;

  constructor({ wantsUsage, candidates }: StreamReaderOptions) {
    this.#wantsUsage = wantsUsage;
    this.#candidates = candidates;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isComplete(): boolean {
    // Some servers leave out [DONE]; an answer all of whose candidates say why they ended is whole without it.
    return this.#done || this.#finished >= this.#candidates;
  }

  get failure(): ProviderFailure | undefined {
    return this.#failure;
  }

  get events(): number {
    return this.#events;
  }

  get textBytes(): number {
    return this.#textBytes;
  }

  get quantities(): Quantities | undefined {
    return readUsage(this.#usage, () => this.#hasText);
  }

  read(chunk: Buffer): Buffer | undefined {
    if (this.#failure !== undefined || this.#done) return undefined;
    const fresh = this.#carried === 0;
    const bytes = fresh ? chunk : this.#append(chunk);
    let search = fresh ? 0 : bytes.length - chunk.length;
    let eventStart = 0;
    let kept = 0;
    let pieces: Buffer[] | undefined;
    while (this.#failure === undefined && !this.#done) {
      const lf = bytes.indexOf(LF, search);
      if (lf < 0) break;
      search = lf + 1;
      const lineStart = eventStart + this.#line;
      const lineEnd = lf > lineStart && bytes[lf - 1] === CR ? lf - 1 : lf;
      if (lineEnd !== lineStart) {
        this.#takeLine(bytes, lineStart, lineEnd, eventStart);
        this.#line = search - eventStart;
        continue;
      }
      const goesOn = this.#takeEvent(bytes, eventStart, search);
      if (this.#rewritten !== undefined) {
        pieces ??= [];
        pieces.push(bytes.subarray(0, kept), this.#rewritten);
        // What was kept so far is handed over; the rest is a new beginning.
        const rest = this.#restart(bytes, search, pieces);
        this.#rewritten = undefined;
        this.#line = 0;
        return rest;
      }
      if (goesOn) {
        if (kept !== eventStart) bytes.copyWithin(kept, eventStart, search);
        kept += search - eventStart;
      }
      eventStart = search;
      this.#line = 0;
      this.#dataStart = -1;
      this.#dataLines = 0;
    }
    this.#keep(bytes, eventStart, fresh, kept > 0);
    return this.#letThrough(kept === bytes.length ? bytes : bytes.subarray(0, kept));
  }

  end(): Buffer | undefined {
    // A last event without its blank line: the specification drops it, but providers end [DONE] that way.
    const rest = this.#carried > 0 ? this.read(Buffer.from("\n\n")) : undefined;
    if (this.#failure !== undefined || this.#done || !this.isComplete) return rest;
    this.#done = true;
    return rest === undefined ? DONE_EVENT : Buffer.concat([rest, DONE_EVENT]);
  }

  /** Goes on reading after an event that was written anew: rare, so it may copy. */
  #restart(bytes: Buffer, from: number, pieces: Buffer[]): Buffer | undefined {
    const rest = Buffer.from(bytes.subarray(from));
    const before = Buffer.concat(pieces);
    this.#carried = 0;
    this.#dataStart = -1;
    this.#dataLines = 0;
    this.#line = 0;
    const first = this.#letThrough(before);
    this.#rewritten = undefined;
    const second = this.read(rest);
    if (first === undefined || second === undefined) return first ?? second;
    return Buffer.concat([first, second]);
  }

  /** Holds output back until there is content. */
  #letThrough(bytes: Buffer): Buffer | undefined {
    if (this.#hasContent) {
      if (this.#held === undefined) return bytes.length > 0 ? bytes : undefined;
      const all = Buffer.concat([...this.#held, bytes]);
      this.#held = undefined;
      return all;
    }
    if (bytes.length > 0 && this.#failure === undefined) {
      if (this.#held === undefined) this.#held = [bytes];
      else this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      if (this.#heldBytes > MAX_PREAMBLE_BYTES) this.#fail("the provider's stream has no content in its first MiB");
    }
    return undefined;
  }

  #append(chunk: Buffer): Buffer {
    const size = this.#carried + chunk.length;
    if (size > this.#carry.length) {
      const larger = Buffer.allocUnsafe(Math.max(size * 2, 4096));
      this.#carry.copy(larger, 0, 0, this.#carried);
      this.#carry = larger;
    }
    chunk.copy(this.#carry, this.#carried);
    return this.#carry.subarray(0, size);
  }

  /** Keeps what comes after the last whole event, from `from`. */
  #keep(bytes: Buffer, from: number, fresh: boolean, handsOver: boolean): void {
    const size = bytes.length - from;
    if (this.#failure !== undefined || this.#done) {
      this.#carried = 0;
      return;
    }
    if (size > MAX_EVENT_BYTES) this.#fail(`an event of the provider's stream is larger than ${MAX_EVENT_BYTES} bytes`);
    if (size === 0) {
      this.#carried = 0;
      // What was carried is on its way to the caller, and must not be written over.
      if (!fresh) this.#carry = NO_BYTES;
    } else if (fresh) {
      this.#carried = 0;
      this.#append(bytes.subarray(from));
      this.#carried = size;
    } else if (from > 0 || handsOver) {
      const rest = Buffer.allocUnsafe(Math.max(size * 2, 4096));
      bytes.copy(rest, 0, from);
      this.#carry = rest;
      this.#carried = size;
    } else {
      this.#carried = size;
    }
  }

  #takeLine(bytes: Buffer, start: number, end: number, eventStart: number): void {
    // `data:` with or without a space after it; all other fields and comments only travel along.
    if (end - start < 5 || bytes[start] !== 0x64 || bytes[start + 1] !== 0x61) return;
    if (bytes[start + 2] !== 0x74 || bytes[start + 3] !== 0x61 || bytes[start + 4] !== 0x3a) return;
    this.#dataLines += 1;
    if (this.#dataLines === 1) this.#dataStart = start + 5 - eventStart;
    this.#dataEnd = end - eventStart;
  }

  /** Understands a whole event; returns whether it goes on to the caller. */
  #takeEvent(bytes: Buffer, eventStart: number, eventEnd: number): boolean {
    if (this.#dataLines === 0) return true;
    this.#events += 1;
    if (this.#dataLines > 1) return this.#takeLongEvent(bytes.subarray(eventStart, eventEnd));
    let start = eventStart + this.#dataStart;
    let end = eventStart + this.#dataEnd;
    while (start < end && bytes[start] === SPACE) start += 1;
    while (start < end && bytes[end - 1] === SPACE) end -= 1;
    if (start === end) return true;
    return this.#takeData(bytes, start, end);
  }

  /** An event with several data lines. Its data is the lines joined by LF, which within JSON is a space. */
  #takeLongEvent(event: Buffer): boolean {
    const lines = event.toString("utf8").split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
    const others = lines.filter((line) => line !== "" && !line.startsWith("data:")).map((line) => `${line}\n`);
    const joined = Buffer.from(data.join(" "));
    const goesOn = this.#takeData(joined, 0, joined.length);
    if (goesOn && this.#failure === undefined) {
      this.#rewritten = Buffer.concat([Buffer.from(`${others.join("")}data: `), joined, Buffer.from("\n\n")]);
    }
    return false;
  }

  #takeData(bytes: Buffer, start: number, end: number): boolean {
    if (end - start === DONE.length && bytes.compare(DONE, 0, DONE.length, start, end) === 0) {
      this.#done = true;
      // [DONE] without anything before it is a stream without an answer.
      if (!this.#hasContent) this.#fail("the provider's stream ended without content");
      return true;
    }
    if (!scan.scan(bytes, start, end)) {
      this.#fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    if (has(bytes, ERROR)) {
      this.#failure = toStatedFailure(read(bytes, ERROR));
      return false;
    }
    this.#textBytes += scan.textBytes;
    if (scan.nestedString) this.#finished += 1;
    const usageStart = scan.starts[USAGE]!;
    if (usageStart >= 0) {
      const usageEnd = scan.ends[USAGE]!;
      const isNull = bytes[usageStart] === 0x6e;
      if (!isNull) this.#usage = read(bytes, USAGE);
      if (!this.#wantsUsage) {
        if (!isNull && !hasChoice(bytes)) return false;
        blankMember(bytes, start, usageStart, usageEnd, end);
      }
    }
    if (!this.#hasContent && has(bytes, CHOICES)) {
      this.#hasText = hasText(read(bytes, CHOICES), "delta");
      // An empty answer ends too: its end is content.
      this.#hasContent = this.#hasText || scan.nestedString;
    }
    return true;
  }

  #fail(state: string): void {
    this.#failure = { reason: "PROVIDER_FAILED", state, elsewhere: true };
  }
}

/** Whether a member is there and is not null. */
function has(bytes: Buffer, key: number): boolean {
  const start = scan.starts[key]!;
  return start >= 0 && bytes[start] !== 0x6e;
}

/** Whether `choices` has an element. Some servers send null there in the event of the usage. */
function hasChoice(bytes: Buffer): boolean {
  if (!has(bytes, CHOICES)) return false;
  for (let i = scan.starts[CHOICES]! + 1; i < scan.ends[CHOICES]!; i += 1) {
    if (bytes[i] === 0x5d) return false;
    if (bytes[i]! > SPACE) return true;
  }
  return false;
}

function read(bytes: Buffer, key: number): unknown {
  return JSON.parse(bytes.toString("utf8", scan.starts[key], scan.ends[key]));
}

/** Writes spaces over a member of an object and over the comma that parted it from its neighbour. */
function blankMember(
  bytes: Buffer,
  objectStart: number,
  valueStart: number,
  valueEnd: number,
  objectEnd: number,
): void {
  let from = bytes.lastIndexOf(0x22, bytes.lastIndexOf(0x22, valueStart - 1) - 1);
  let to = valueEnd;
  let before = from - 1;
  while (before > objectStart && bytes[before]! <= SPACE) before -= 1;
  if (bytes[before] === 0x2c) {
    from = before;
  } else {
    while (to < objectEnd && bytes[to]! <= SPACE) to += 1;
    if (bytes[to] === 0x2c) to += 1;
    else to = valueEnd;
  }
  bytes.fill(SPACE, from, to);
}
