import type { Quantities, StreamReaderOptions } from "../dialect.ts";
import { EventStreamReader } from "../event-stream.ts";
import { toObject } from "../shape.ts";
import { findAnswer } from "./answer.ts";
import { toStatedFailure } from "./error.ts";
import { hasContent, listTexts, toIndex } from "./parts.ts";
import { readUsage } from "./usage.ts";

/** Most candidates of one answer that are followed. */
const MOST_CANDIDATES = 1024;

const DONE = Buffer.from("[DONE]");

/**
 * Reads a streamed answer (https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent), each event of which is
 * an answer with what is new. There is no mark of the end: the answer is complete when each candidate has said why it ended, or
 * the prompt was blocked, and the stream has ended.
 */
export class GeminiStreamReader extends EventStreamReader {
  readonly #candidates: number;
  readonly #finished = new Set<number>();
  #usage: unknown;
  #isBlocked = false;

  constructor({ candidates, text }: Pick<StreamReaderOptions, "candidates" | "text">) {
    super(text);
    this.#candidates = candidates;
  }

  get isComplete(): boolean {
    return this.failure === undefined && (this.#isBlocked || this.#finished.size >= this.#candidates);
  }

  get quantities(): Quantities | undefined {
    return readUsage(this.#usage, () => this.textBytes > 0);
  }

  protected override takeData(bytes: Buffer, start: number, end: number): boolean {
    const data = bytes.subarray(start, end);
    // Servers that speak several dialects may end this one, too, as another ends.
    if (data.equals(DONE)) return false;
    const answer = findAnswer(data);
    if (answer === undefined) {
      this.fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    if (answer.error !== undefined) {
      this.failure = toStatedFailure(answer.error);
      return false;
    }
    if (answer.usage !== undefined) this.#usage = answer.usage;
    if (answer.isBlocked) {
      this.#isBlocked = true;
      this.hasContent = true;
    }
    for (const candidate of answer.candidates) this.#takeCandidate(candidate);
    return true;
  }

  #takeCandidate(candidate: unknown): void {
    for (const text of listTexts(candidate)) {
      this.textBytes += Buffer.byteLength(text);
      this.text.takeText(text);
    }
    this.hasContent ||= hasContent(candidate);
    if (typeof toObject(candidate).finishReason !== "string") return;
    if (this.#finished.size < MOST_CANDIDATES) this.#finished.add(toIndex(candidate));
  }
}
