import type { Quantities, StreamReaderOptions } from "../dialect.ts";
import { EventStreamReader } from "../event-stream.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { NO_TEXT } from "./answer.ts";
import { blankMember } from "./blank-member.ts";
import { toStatedFailure } from "./error.ts";
import { hasText, readUsage } from "./usage.ts";

const CHOICES = 0;
const USAGE = 1;
const ERROR = 2;
const scan = new JsonScan(watchKeys(["choices", "usage", "error"], { nested: "finish_reason", noText: NO_TEXT }));

const DONE = Buffer.from("[DONE]");
const DONE_EVENT = Buffer.from("data: [DONE]\n\n");
const SPACE = 0x20;

/**
 * Reads the events of a streamed chat while they are relayed. Each event's structure is scanned, not parsed: where `choices`,
 * `usage` and `error` stand, and how much text there is. For a caller who did not ask for usage the event that carries it is left
 * out, and `"usage":null` is blanked out of the others with spaces, in place.
 */
export class OpenAiStreamReader extends EventStreamReader {
  readonly #wantsUsage: boolean;
  readonly #candidates: number;
  #usage: unknown;
  #finished = 0;
  #hasText = false;

  constructor({ wantsUsage, candidates, text }: StreamReaderOptions) {
    super(text);
    this.#wantsUsage = wantsUsage;
    this.#candidates = candidates;
  }

  get isComplete(): boolean {
    // Some servers leave out [DONE]; an answer all of whose candidates say why they ended is whole without it.
    return this.isDone || this.#finished >= this.#candidates;
  }

  get quantities(): Quantities | undefined {
    return readUsage(this.#usage, () => this.#hasText);
  }

  override end(): Buffer | undefined {
    const rest = super.end();
    if (this.failure !== undefined || this.isDone || !this.isComplete) return rest;
    this.isDone = true;
    return rest === undefined ? DONE_EVENT : Buffer.concat([rest, DONE_EVENT]);
  }

  protected override takeData(bytes: Buffer, start: number, end: number): boolean {
    if (end - start === DONE.length && bytes.compare(DONE, 0, DONE.length, start, end) === 0) {
      this.isDone = true;
      // [DONE] without anything before it is a stream without an answer.
      if (!this.hasContent) this.fail("the provider's stream ended without content");
      return true;
    }
    const { seenBytes } = this.text;
    if (!scan.scan(bytes, start, end, this.text)) {
      this.text.rewind(seenBytes);
      this.fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    if (scan.has(bytes, ERROR)) {
      this.text.rewind(seenBytes);
      this.failure = toStatedFailure(scan.parse(bytes, ERROR));
      return false;
    }
    this.textBytes += scan.textBytes;
    if (scan.nestedString) this.#finished += 1;
    const usageStart = scan.starts[USAGE]!;
    if (usageStart >= 0) {
      const usageEnd = scan.ends[USAGE]!;
      const isNull = bytes[usageStart] === 0x6e;
      if (!isNull) this.#usage = scan.parse(bytes, USAGE);
      if (!this.#wantsUsage) {
        if (!isNull && !hasChoice(bytes)) return false;
        blankMember(bytes, start, usageStart, usageEnd, end);
      }
    }
    if (!this.hasContent && scan.has(bytes, CHOICES)) {
      this.#hasText = hasText(scan.parse(bytes, CHOICES), "delta");
      // An empty answer ends too: its end is content.
      this.hasContent = this.#hasText || scan.nestedString;
    }
    return true;
  }
}

/** Whether `choices` has an element. Some servers send null there in the event of the usage. */
function hasChoice(bytes: Buffer): boolean {
  if (!scan.has(bytes, CHOICES)) return false;
  for (let i = scan.starts[CHOICES]! + 1; i < scan.ends[CHOICES]!; i += 1) {
    if (bytes[i] === 0x5d) return false;
    if (bytes[i]! > SPACE) return true;
  }
  return false;
}
