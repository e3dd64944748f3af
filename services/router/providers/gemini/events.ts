/** Largest event that is taken. Beyond it the stream counts as broken. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024;
/** Most data lines of an event that is taken. */
const MOST_LINES = 65_536;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const DATA = Buffer.from("data");
const BETWEEN_LINES = Buffer.from(" ");

/**
 * Takes the data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) out of a stream, however it
 * is cut. Lines end with LF or CR LF. Several data lines are joined by a space, which within JSON is what a line's end is. Other
 * fields and comments are left out. Each byte is looked at once, and nothing is copied but what a read leaves over.
 */
export class EventSplitter {
  /** The parts of the line that is not whole yet. */
  #line: Buffer[] = [];
  #data: Buffer[] = [];
  /** How many of them are copies already: a read's memory is not the splitter's once it is taken. */
  #copied = 0;
  #sizeBytes = 0;

  /** Whether an event was larger than {@link MAX_EVENT_BYTES}, or had more lines than anybody writes; nothing is taken after it. */
  isTooLarge = false;

  /** The data of each event that `chunk` completes. */
  take(chunk: Buffer): Buffer[] {
    const events: Buffer[] = [];
    let from = 0;
    while (!this.isTooLarge) {
      const lf = chunk.indexOf(LF, from);
      const end = lf < 0 ? chunk.length : lf;
      this.#sizeBytes += end - from;
      this.isTooLarge = this.#sizeBytes > MAX_EVENT_BYTES;
      if (lf < 0) {
        if (end > from) this.#line.push(Buffer.from(chunk.subarray(from)));
        for (; this.#copied < this.#data.length; this.#copied += 1) {
          this.#data[this.#copied] = Buffer.from(this.#data[this.#copied]!);
        }
        break;
      }
      this.#line.push(chunk.subarray(from, end));
      this.#endLine(events);
      from = lf + 1;
    }
    return events;
  }

  /** The data of the last event, whose blank line may be missing: the specification drops it, but providers end that way. */
  end(): Buffer[] {
    return this.take(Buffer.from("\n\n"));
  }

  #endLine(events: Buffer[]): void {
    let line = this.#line.length === 1 ? this.#line[0]! : Buffer.concat(this.#line);
    this.#line = [];
    if (line.length > 0 && line[line.length - 1] === CR) line = line.subarray(0, -1);
    if (line.length === 0) {
      if (this.#data.length > 0) events.push(this.#data.length === 1 ? this.#data[0]! : Buffer.concat(this.#data));
      this.#data = [];
      this.#copied = 0;
      this.#sizeBytes = 0;
    } else if (line[DATA.length] === COLON && line.compare(DATA, 0, DATA.length, 0, DATA.length) === 0) {
      const start = DATA.length + 1;
      if (this.#data.length > 0) this.#data.push(BETWEEN_LINES);
      this.#data.push(line.subarray(line[start] === SPACE ? start + 1 : start));
      if (this.#data.length > 2 * MOST_LINES) this.isTooLarge = true;
    } else if (this.#data.length === 0) {
      this.#sizeBytes = 0;
    }
  }
}
