import type { ProviderFailure, Quantities, StreamReader } from "./dialect.ts";
import { KeptText } from "./kept-text.ts";

/** Largest event that is taken. Beyond it the stream counts as broken. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024;
/** Most that is held back while there is no content. */
const MAX_PREAMBLE_BYTES = 1024 * 1024;

const NO_BYTES = Buffer.alloc(0);
const BLANK_LINE = Buffer.from("\n\n");
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const BYTE_ORDER_MARK = Buffer.from("\ufeff");
/** A comment as long as the mark. */
const COMMENT_LINE = Buffer.from(":\r\n");

/**
 * Reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) of a provider while they are relayed.
 * Only whole events go on, so that what Weir adds after a cut never lands within one. Nothing is held back or copied as long as
 * reads end where events end, as they do with every provider known; what a read leaves over is kept until it is complete. Lines end
 * with LF or CR LF; a bare CR, which the specification allows, is not known of any provider. A byte order mark that the stream begins with becomes a
 * comment: a caller whose answer has begun otherwise would lose the event that it stands in.
 *
 * A format extends this with {@link takeData}, which understands an event's data and sets what the fields below say.
 */
export abstract class EventStreamReader implements StreamReader {
  /** Whether content was seen: from then on events go on. */
  hasContent = false;
  /** Set by what is wrong; nothing after it is read. */
  failure: ProviderFailure | undefined;
  textBytes = 0;
  events = 0;
  /** Whether the mark of the end was seen; nothing after it is read. */
  protected isDone = false;
  /** Where a format puts the text that it reads. */
  protected readonly text: KeptText;
  /** What came after the last whole event; the first `#carried` bytes count. */
  #carry: Buffer = NO_BYTES;
  #carried = 0;
  /** Of the event that is not whole yet: where its last line begins, and where its data is. Offsets from its beginning. */
  #line = 0;
  #dataStart = -1;
  #dataEnd = -1;
  #dataLines = 0;
  /** Whether the stream is past its first event, be it an empty one. */
  #isPastFirst = false;
  /** What was read before there was content. */
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  /** What takes the place of the event that was read last, when it had to be written anew. */
  #rewritten: Buffer | undefined;

  /** `text` keeps the text of the answer; by default it is kept for nobody. */
  constructor(text: KeptText = new KeptText()) {
    this.text = text;
  }

  abstract get isComplete(): boolean;
  abstract get quantities(): Quantities | undefined;

  /**
   * Understands the data of an event, from `start` to `end` (exclusive), never empty and without spaces around it; may change it in
   * place. Returns whether the event goes on to the caller.
   */
  protected abstract takeData(bytes: Buffer, start: number, end: number): boolean;

  read(chunk: Buffer): Buffer | undefined {
    if (this.failure !== undefined || this.isDone) return undefined;
    const fresh = this.#carried === 0;
    const bytes = fresh ? chunk : this.#append(chunk);
    let search = fresh ? 0 : bytes.length - chunk.length;
    let eventStart = 0;
    // What goes on stands from `keptStart` to `kept`, behind the pieces.
    let keptStart = 0;
    let kept = 0;
    let pieces: Buffer[] | undefined;
    while (this.failure === undefined && !this.isDone) {
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
        pieces.push(bytes.subarray(keptStart, kept), this.#rewritten);
        this.#rewritten = undefined;
        keptStart = search;
        kept = search;
      } else if (goesOn) {
        if (kept !== eventStart) bytes.copyWithin(kept, eventStart, search);
        kept += search - eventStart;
      }
      eventStart = search;
      this.#isPastFirst = true;
      this.#line = 0;
      this.#dataStart = -1;
      this.#dataLines = 0;
    }
    this.#keep(bytes, eventStart, fresh, kept > 0);
    const last = kept - keptStart === bytes.length ? bytes : bytes.subarray(keptStart, kept);
    return this.#letThrough(pieces === undefined ? last : Buffer.concat([...pieces, last]));
  }

  end(): Buffer | undefined {
    // A last event without its blank line: the specification drops it, but providers end their streams that way.
    return this.#carried > 0 ? this.read(Buffer.from(BLANK_LINE)) : undefined;
  }

  /** Ends the reading: the stream broke its own rules. */
  protected fail(state: string): void {
    this.failure = { reason: "PROVIDER_FAILED", state, elsewhere: true };
  }

  /** Holds output back until there is content. */
  #letThrough(bytes: Buffer): Buffer | undefined {
    if (this.hasContent) {
      if (this.#held === undefined) return bytes.length > 0 ? bytes : undefined;
      const all = Buffer.concat([...this.#held, bytes]);
      this.#held = undefined;
      return all;
    }
    if (bytes.length > 0 && this.failure === undefined) {
      if (this.#held === undefined) this.#held = [bytes];
      else this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      if (this.#heldBytes > MAX_PREAMBLE_BYTES) this.fail("the provider's stream has no content in its first MiB");
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
    if (this.failure !== undefined || this.isDone) {
      this.#carried = 0;
      return;
    }
    if (size > MAX_EVENT_BYTES) this.fail(`an event of the provider's stream is larger than ${MAX_EVENT_BYTES} bytes`);
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

  #takeLine(bytes: Buffer, lineStart: number, end: number, eventStart: number): void {
    const start = bytes[lineStart] === BYTE_ORDER_MARK[0] ? this.#skipMark(bytes, lineStart, eventStart) : lineStart;
    // `data:` with or without a space after it; all other fields and comments only travel along.
    if (end - start < 5 || bytes[start] !== 0x64 || bytes[start + 1] !== 0x61) return;
    if (bytes[start + 2] !== 0x74 || bytes[start + 3] !== 0x61 || bytes[start + 4] !== 0x3a) return;
    this.#dataLines += 1;
    if (this.#dataLines === 1) this.#dataStart = start + 5 - eventStart;
    this.#dataEnd = end - eventStart;
  }

  /** Where a line begins behind a mark. Only the first line of a stream has one: anywhere else it is a part of the line. */
  #skipMark(bytes: Buffer, start: number, eventStart: number): number {
    if (this.#isPastFirst || start !== eventStart) return start;
    const end = start + BYTE_ORDER_MARK.length;
    if (!bytes.subarray(start, end).equals(BYTE_ORDER_MARK)) return start;
    COMMENT_LINE.copy(bytes, start);
    return end;
  }

  /** Understands a whole event; returns whether it goes on to the caller. */
  #takeEvent(bytes: Buffer, eventStart: number, eventEnd: number): boolean {
    if (this.#dataLines === 0) return true;
    this.events += 1;
    if (this.#dataLines > 1) return this.#takeLongEvent(bytes.subarray(eventStart, eventEnd));
    let start = eventStart + this.#dataStart;
    let end = eventStart + this.#dataEnd;
    while (start < end && bytes[start] === SPACE) start += 1;
    while (start < end && bytes[end - 1] === SPACE) end -= 1;
    if (start === end) return true;
    return this.takeData(bytes, start, end);
  }

  /** An event with several data lines. Its data is the lines joined by LF, which within JSON is a space. */
  #takeLongEvent(event: Buffer): boolean {
    const lines = event.toString("utf8").split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
    const others = lines.filter((line) => line !== "" && !line.startsWith("data:")).map((line) => `${line}\n`);
    const joined = Buffer.from(data.join(" "));
    const goesOn = this.takeData(joined, 0, joined.length);
    if (goesOn && this.failure === undefined) {
      this.#rewritten = Buffer.concat([Buffer.from(`${others.join("")}data: `), joined, BLANK_LINE]);
    }
    return false;
  }
}
