import type { Quantities, StreamReaderOptions } from "../dialect.ts";
import { EventStreamReader } from "../event-stream.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { toObject } from "../shape.ts";
import { hasSubstance, NO_TEXT } from "./answer.ts";
import { toStatedFailure } from "./error.ts";
import { mergeUsage, readUsage } from "./usage.ts";

const TYPE = 0;
const ERROR = 1;
const MESSAGE = 2;
const BLOCK = 3;
const DELTA = 4;
const USAGE = 5;
const scan = new JsonScan(
  watchKeys(["type", "error", "message", "content_block", "delta", "usage"], { noText: NO_TEXT }),
);

const MESSAGE_START = Buffer.from('"message_start"');
const BLOCK_START = Buffer.from('"content_block_start"');
const BLOCK_DELTA = Buffer.from('"content_block_delta"');
const BLOCK_STOP = Buffer.from('"content_block_stop"');
const MESSAGE_DELTA = Buffer.from('"message_delta"');
const MESSAGE_STOP = Buffer.from('"message_stop"');
const ERROR_EVENT = Buffer.from('"error"');

/**
 * Reads the events of a streamed message (https://platform.claude.com/docs/en/build-with-claude/streaming) while they are relayed:
 * `message_start`, blocks that start, grow and stop, `message_delta` with the reason of the end and the usage, `message_stop`. Each
 * event's structure is scanned, not parsed. `ping` and events that nobody here knows go along; they are no content. An event out of its
 * order (a block before the message, a second message) is a failure.
 */
export class AnthropicStreamReader extends EventStreamReader {
  #usage: Record<string, unknown> | undefined;
  /** Whether a `message_delta` said what was used: until then the tokens of the answer are not known. */
  #isUsageFinal = false;
  #hasStarted = false;
  #openBlocks = 0;
  #hasText = false;

  constructor({ text }: Pick<StreamReaderOptions, "text"> = {}) {
    super(text);
  }

  get isComplete(): boolean {
    return this.isDone && this.failure === undefined;
  }

  get quantities(): Quantities | undefined {
    return this.#isUsageFinal ? readUsage(this.#usage, () => this.#hasText) : undefined;
  }

  protected override takeData(bytes: Buffer, start: number, end: number): boolean {
    const { seenBytes } = this.text;
    const isObject = scan.scan(bytes, start, end, this.text);
    const grows = isObject && (isType(bytes, BLOCK_DELTA) || isType(bytes, BLOCK_START)) && !scan.has(bytes, ERROR);
    if (grows) this.textBytes += scan.textBytes;
    else this.text.rewind(seenBytes);
    if (!isObject) {
      this.fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    if (scan.has(bytes, ERROR) || isType(bytes, ERROR_EVENT)) {
      this.failure = toStatedFailure(scan.has(bytes, ERROR) ? scan.parse(bytes, ERROR) : undefined);
      return false;
    }
    // The most frequent one first.
    if (isType(bytes, BLOCK_DELTA)) this.#takeGrowth(bytes);
    else if (isType(bytes, BLOCK_START)) this.#takeBlock(bytes);
    else if (isType(bytes, BLOCK_STOP)) this.#openBlocks -= 1;
    else if (isType(bytes, MESSAGE_START)) this.#takeStart(bytes);
    else if (isType(bytes, MESSAGE_DELTA)) this.#takeEndOfAnswer(bytes);
    else if (isType(bytes, MESSAGE_STOP)) this.#takeStop();
    return this.failure === undefined;
  }

  #takeStart(bytes: Buffer): void {
    if (this.#hasStarted) {
      this.fail("the provider's stream begins a second message");
      return;
    }
    this.#hasStarted = true;
    this.#usage = mergeUsage({}, scan.has(bytes, MESSAGE) ? toObject(scan.parse(bytes, MESSAGE)).usage : undefined);
  }

  #takeBlock(bytes: Buffer): void {
    if (!this.#hasStarted) {
      this.fail("the provider's stream has a block before its message");
      return;
    }
    this.#openBlocks += 1;
    if (!this.hasContent && scan.has(bytes, BLOCK))
      this.hasContent = this.#hasText = hasSubstance(scan.parse(bytes, BLOCK));
  }

  #takeGrowth(bytes: Buffer): void {
    if (this.#openBlocks <= 0) {
      this.fail("the provider's stream lets a block grow that did not start");
      return;
    }
    if (!this.hasContent && scan.has(bytes, DELTA))
      this.hasContent = this.#hasText = hasSubstance(scan.parse(bytes, DELTA));
  }

  #takeEndOfAnswer(bytes: Buffer): void {
    if (!this.#hasStarted) {
      this.fail("the provider's stream ends a message that did not start");
      return;
    }
    if (scan.has(bytes, USAGE)) {
      this.#usage = mergeUsage(this.#usage ?? {}, scan.parse(bytes, USAGE));
      this.#isUsageFinal = true;
    }
    // An empty answer ends too: its end is content.
    if (!this.hasContent && scan.has(bytes, DELTA)) {
      this.hasContent = typeof toObject(scan.parse(bytes, DELTA)).stop_reason === "string";
    }
  }

  #takeStop(): void {
    this.isDone = true;
    if (!this.hasContent) this.fail("the provider's stream ended without content");
  }
}

/** Whether the event is of a type, which stands there with its quotes. */
function isType(bytes: Buffer, type: Buffer): boolean {
  const start = scan.starts[TYPE]!;
  return start >= 0 && scan.ends[TYPE]! - start === type.length && startsWith(bytes, start, type);
}

function startsWith(bytes: Buffer, start: number, word: Buffer): boolean {
  if (start < 0) return false;
  for (let at = 0; at < word.length; at += 1) if (bytes[start + at] !== word[at]) return false;
  return true;
}
