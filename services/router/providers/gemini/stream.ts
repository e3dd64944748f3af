import type { ProviderFailure, Quantities, StreamReader, StreamReaderOptions } from "../dialect.ts";
import { findAnswer } from "./answer.ts";
import { toStatedFailure } from "./error.ts";
import { EventSplitter, MAX_EVENT_BYTES } from "./events.ts";
import { countText, hasContent, toIndex } from "./parts.ts";
import { toObject } from "./shape.ts";
import { readUsage } from "./usage.ts";

/** Most that is held back while there is no content. */
const MAX_PREAMBLE_BYTES = 1024 * 1024;
/** Most candidates of one answer that are followed. */
const MOST_CANDIDATES = 1024;

const DONE = Buffer.from("[DONE]");
const BEFORE_DATA = Buffer.from("data: ");
const AFTER_DATA = Buffer.from("\n\n");

/**
 * Reads a streamed answer (https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent), each event of which is
 * an answer with what is new. There is no mark of the end: the answer is complete when each candidate has said why it ended, or
 * the prompt was blocked, and the stream has ended. What is let through is written anew as one data line an event, since only a
 * piece reader reads it.
 */
export class GeminiStreamReader implements StreamReader {
  readonly #candidates: number;
  readonly #splitter = new EventSplitter();
  readonly #finished = new Set<number>();
  #held: Buffer[] = [];
  #heldBytes = 0;
  #usage: unknown;
  #isBlocked = false;
  #hasEnded = false;
  #hasContent = false;
  #failure: ProviderFailure | undefined;
  #textBytes = 0;
  #events = 0;

  constructor({ candidates }: Pick<StreamReaderOptions, "candidates">) {
    this.#candidates = candidates;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isComplete(): boolean {
    return (
      this.#hasEnded && this.#failure === undefined && (this.#isBlocked || this.#finished.size >= this.#candidates)
    );
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
    return readUsage(this.#usage, () => this.#textBytes > 0);
  }

  read(chunk: Buffer): Buffer | undefined {
    if (this.#failure !== undefined || this.#hasEnded) return undefined;
    return this.#takeAll(this.#splitter.take(chunk));
  }

  end(): Buffer | undefined {
    if (this.#failure !== undefined || this.#hasEnded) return undefined;
    const rest = this.#takeAll(this.#splitter.end());
    this.#hasEnded = true;
    return rest;
  }

  #takeAll(events: readonly Buffer[]): Buffer | undefined {
    const through: Buffer[] = [];
    for (const data of events) {
      if (this.#takeEvent(data)) through.push(BEFORE_DATA, data, AFTER_DATA);
      if (this.#failure !== undefined) break;
    }
    if (this.#splitter.isTooLarge && this.#failure === undefined) {
      this.#fail(`an event of the provider's stream is larger than ${MAX_EVENT_BYTES} bytes`);
    }
    return this.#letThrough(through);
  }

  /** Understands an event; returns whether it goes on. */
  #takeEvent(data: Buffer): boolean {
    if (data.length === 0) return false;
    this.#events += 1;
    // Servers that speak several dialects may end this one, too, as another ends.
    if (data.equals(DONE)) return false;
    const answer = findAnswer(data);
    if (answer === undefined) {
      this.#fail("an event of the provider's stream is not a JSON object");
      return false;
    }
    if (answer.error !== undefined) {
      this.#failure = toStatedFailure(answer.error);
      return false;
    }
    if (answer.usage !== undefined) this.#usage = answer.usage;
    if (answer.isBlocked) {
      this.#isBlocked = true;
      this.#hasContent = true;
    }
    for (const candidate of answer.candidates) this.#takeCandidate(candidate);
    return true;
  }

  #takeCandidate(candidate: unknown): void {
    this.#textBytes += countText(candidate);
    this.#hasContent ||= hasContent(candidate);
    if (typeof toObject(candidate).finishReason !== "string") return;
    if (this.#finished.size < MOST_CANDIDATES) this.#finished.add(toIndex(candidate));
  }

  /** Holds output back until there is content. */
  #letThrough(through: Buffer[]): Buffer | undefined {
    if (this.#hasContent) {
      const all = this.#held.length === 0 ? through : [...this.#held, ...through];
      this.#held = [];
      return all.length === 0 ? undefined : Buffer.concat(all);
    }
    for (const bytes of through) {
      // What a read brought may be written over once it is answered.
      this.#held.push(Buffer.from(bytes));
      this.#heldBytes += bytes.length;
    }
    if (this.#heldBytes > MAX_PREAMBLE_BYTES && this.#failure === undefined) {
      this.#fail("the provider's stream has no content in its first MiB");
    }
    return undefined;
  }

  #fail(state: string): void {
    this.#failure = { reason: "PROVIDER_FAILED", state, elsewhere: true };
  }
}
