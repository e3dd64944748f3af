import type { ProviderFailure, Quantities, StreamReader, StreamReaderOptions } from "../dialect.ts";
import { KeptText } from "../kept-text.ts";
import { toObject, toText } from "../shape.ts";
import { readStreamError } from "./error.ts";
import { decodeFrame, FrameSplitter, MAX_FRAME_BYTES } from "./frames.ts";
import { readPayload } from "./read-payload.ts";
import { readUsage } from "./usage.ts";

/** Most that is held back while there is no content. */
const MAX_PREAMBLE_BYTES = 1024 * 1024;

/**
 * Reads the frames of ConverseStream
 * (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html). Whole frames go on, to the piece
 * reader of this format. An answer is complete once `metadata` came after `messageStop`: until then its usage is not known, and
 * nothing else ends a stream. A frame with a wrong checksum, an exception and an error end it, too, but never as an answer.
 */
export class ConverseStreamReader implements StreamReader {
  readonly #splitter = new FrameSplitter();
  readonly #text: KeptText;
  /** What was read before there was content. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #usage: unknown;
  #isStopped = false;
  #hasMetadata = false;
  #hasContent = false;
  #hasText = false;
  #failure: ProviderFailure | undefined;
  #textBytes = 0;
  #events = 0;

  constructor({ text = new KeptText() }: Pick<StreamReaderOptions, "text"> = {}) {
    this.#text = text;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isComplete(): boolean {
    return this.#isStopped && this.#hasMetadata;
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
    return readUsage(this.#usage, this.#hasText);
  }

  read(chunk: Buffer): Buffer | undefined {
    if (this.#failure !== undefined || this.isComplete) return undefined;
    const bytes = this.#splitter.read(chunk, (frame) => !this.isComplete && this.#takeFrame(frame));
    if (this.#splitter.isBroken)
      this.#fail(`a frame of the provider's stream is broken or larger than ${MAX_FRAME_BYTES} bytes`);
    return this.#letThrough(bytes);
  }

  end(): Buffer | undefined {
    return undefined;
  }

  /** Holds output back until there is content. */
  #letThrough(bytes: Buffer): Buffer | undefined {
    if (bytes.length === 0 && this.#held.length === 0) return undefined;
    if (this.#hasContent) {
      if (this.#held.length === 0) return bytes;
      const all = Buffer.concat([...this.#held, bytes]);
      this.#held = [];
      return all;
    }
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_PREAMBLE_BYTES) this.#fail("the provider's stream has no content in its first MiB");
    return undefined;
  }

  /** Understands a frame; returns whether it goes on. */
  #takeFrame(bytes: Buffer): boolean {
    const frame = decodeFrame(bytes);
    if (frame === undefined) return this.#fail("a frame of the provider's stream does not fit its checksum");
    if (frame.kind === "exception" || frame.kind === "error") {
      this.#failure ??= readStreamError(frame.type, frame.payload);
      return false;
    }
    if (frame.kind === "unknown") return this.#fail("a frame of the provider's stream is of no known kind");
    this.#events += 1;
    const event = readPayload(frame.payload);
    if (event === undefined) return this.#fail("an event of the provider's stream is not a JSON object");
    this.#takeEvent(frame.type, event);
    return true;
  }

  #takeEvent(type: string, event: Record<string, unknown>): void {
    switch (type) {
      case "contentBlockStart":
        // A tool's use is content from its beginning; other blocks begin with their first delta.
        if (event.start !== undefined && Object.keys(toObject(event.start)).length > 0) this.#meetContent();
        break;
      case "contentBlockDelta":
        this.#takeDelta(toObject(event.delta));
        break;
      case "messageStop":
        this.#isStopped = true;
        // An empty answer ends, too: its end is content.
        this.#hasContent = true;
        break;
      case "metadata":
        this.#usage = event.usage;
        this.#hasMetadata = true;
        break;
    }
  }

  #takeDelta({ text, toolUse, reasoningContent, ...others }: Record<string, unknown>): void {
    const { text: thought, redactedContent, signature } = toObject(reasoningContent);
    const texts = [toText(text), toText(toObject(toolUse).input), toText(thought), toText(redactedContent)];
    const size = texts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
    this.#textBytes += size;
    for (const part of texts) this.#text.takeText(part);
    if (size > 0 || toText(signature) !== "" || Object.keys(others).length > 0) this.#meetContent();
  }

  #meetContent(): void {
    this.#hasContent = true;
    this.#hasText = true;
  }

  #fail(state: string): false {
    this.#failure ??= { reason: "PROVIDER_FAILED", state, elsewhere: true };
    return false;
  }
}
