import type { Quantities } from "../../dialect.ts";
import { EventStreamReader } from "../../event-stream.ts";
import { JsonScan, watchKeys } from "../../json-scan.ts";
import { toObject } from "../../shape.ts";
import { toStatedFailure } from "./error.ts";
import { readUsage } from "./usage.ts";

const TYPE = 0;
const DELTA = 1;
const RESPONSE = 2;
const ERROR = 3;
const ITEM = 4;
const scan = new JsonScan(watchKeys(["type", "delta", "response", "error", "item"]));

const USAGE = 0;
const STATED = 1;
/** Reads the response within a terminal event, which holds the whole answer once more, without making it. */
const inner = new JsonScan(watchKeys(["usage", "error"]));

/** What an event is to the relay. */
type Kind = "preamble" | "item" | "delta" | "content" | "completed" | "failed" | "error";

/** Events that say nothing yet, or that something ends: before these alone the caller has missed nothing. */
const KINDS: Readonly<Record<string, Kind>> = {
  "response.created": "preamble",
  "response.in_progress": "preamble",
  "response.queued": "preamble",
  "response.content_part.added": "preamble",
  "response.reasoning_summary_part.added": "preamble",
  keepalive: "preamble",
  "response.output_item.added": "item",
  "response.completed": "completed",
  "response.incomplete": "completed",
  "response.failed": "failed",
  error: "error",
};

/**
 * Reads the events of a streamed response (https://platform.openai.com/docs/api-reference/responses-streaming) while they are
 * relayed untouched. Each event's structure is scanned, not parsed: what type it is, and how long its delta. The usage comes with
 * the one event that ends the answer; there is no `[DONE]`. A response that failed, and an event `error`, do not go on: the caller
 * gets the error in Weir's words.
 */
export class ResponsesStreamReader extends EventStreamReader {
  /** The type of the latest event, as it stands there, and its kind: mostly the next one has the same. */
  #lastType: Buffer = Buffer.alloc(0);
  #lastKind: Kind = "content";
  #usage: unknown;

  get isComplete(): boolean {
    return this.isDone;
  }

  get quantities(): Quantities | undefined {
    return readUsage(this.#usage, this.textBytes > 0);
  }

  protected override takeData(bytes: Buffer, start: number, end: number): boolean {
    if (!scan.scan(bytes, start, end)) {
      this.fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    switch (scan.has(bytes, ERROR) ? "error" : this.#toKind(bytes)) {
      case "preamble":
        return true;
      case "item":
        // A turn or a thought that begins is empty; the call of a tool is not.
        this.hasContent ||= !isEmptyItem(bytes);
        return true;
      case "delta": {
        const length = scan.has(bytes, DELTA) ? Math.max(0, scan.ends[DELTA]! - scan.starts[DELTA]! - 2) : 0;
        this.textBytes += length;
        if (length > 0) this.text.take(bytes, scan.starts[DELTA]! + 1, scan.ends[DELTA]! - 1);
        this.hasContent ||= length > 0;
        return true;
      }
      case "content":
        this.hasContent = true;
        return true;
      case "completed":
        this.#readResponse(bytes);
        // An empty answer ends too: its end is content.
        this.hasContent = true;
        this.isDone = true;
        return true;
      case "failed":
        this.failure = toStatedFailure(this.#readResponse(bytes));
        return false;
      case "error":
        this.failure = toStatedFailure(JSON.parse(bytes.toString("utf8", start, end)));
        return false;
    }
  }

  #toKind(bytes: Buffer): Kind {
    const start = scan.starts[TYPE]!;
    const end = scan.ends[TYPE]!;
    if (start < 0 || bytes[start] !== 0x22) return "preamble";
    if (end - start === this.#lastType.length && bytes.compare(this.#lastType, 0, end - start, start, end) === 0) {
      return this.#lastKind;
    }
    const type = bytes.toString("latin1", start + 1, end - 1);
    const known = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
    this.#lastType = Buffer.from(bytes.subarray(start, end));
    this.#lastKind = known ?? (type.endsWith(".delta") ? "delta" : "content");
    return this.#lastKind;
  }

  /** Takes the usage out of the response within an event; returns its error, if it has one. */
  #readResponse(bytes: Buffer): unknown {
    const start = scan.starts[RESPONSE]!;
    if (start < 0 || bytes[start] !== 0x7b || !inner.scan(bytes, start, scan.ends[RESPONSE]!)) return undefined;
    if (inner.has(bytes, USAGE)) this.#usage = inner.parse(bytes, USAGE);
    return inner.has(bytes, STATED) ? inner.parse(bytes, STATED) : undefined;
  }
}

function isEmptyItem(bytes: Buffer): boolean {
  if (!scan.has(bytes, ITEM)) return true;
  const { type, content } = toObject(scan.parse(bytes, ITEM));
  if (type === "reasoning") return true;
  return type === "message" && (!Array.isArray(content) || content.length === 0);
}
