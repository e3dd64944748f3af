import { EventStreamCodec } from "@smithy/core/event-streams";

/** Largest frame that is taken, all of it, in bytes. Beyond it the stream counts as broken. */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;

/** Length, length of the headers, checksum of both, and the checksum at the end: no frame is shorter. */
const MIN_FRAME_BYTES = 16;
const NO_BYTES = Buffer.alloc(0);

const codec = new EventStreamCodec(
  (bytes) =>
    typeof bytes === "string" ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
  (text) => Buffer.from(text),
);

/** What a frame says. */
export interface Frame {
  /** Of these the last two are the end of the stream. */
  readonly kind: "event" | "exception" | "error" | "unknown";
  /** Type of the event or exception, or code of the error. */
  readonly type: string;
  readonly payload: Buffer;
}

/**
 * Decodes one whole frame of AWS's event stream encoding
 * (https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream). Undefined when one of its
 * checksums is wrong or it does not hold together.
 */
export function decodeFrame(bytes: Buffer): Frame | undefined {
  // The provider wrote these lengths. The codec trusts that of the headers, and would read on beyond the frame.
  if (bytes.length < MIN_FRAME_BYTES || bytes.readUInt32BE(4) > bytes.length - MIN_FRAME_BYTES) return undefined;
  let decoded: ReturnType<EventStreamCodec["decode"]>;
  try {
    decoded = codec.decode(bytes);
  } catch {
    return undefined;
  }
  const { headers, body } = decoded;
  const read = (name: string): string => {
    const value = Object.hasOwn(headers, name) ? headers[name]?.value : undefined;
    return typeof value === "string" ? value : "";
  };
  const payload = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  switch (read(":message-type")) {
    case "event":
      return { kind: "event", type: read(":event-type"), payload };
    case "exception":
      return { kind: "exception", type: read(":exception-type"), payload };
    case "error":
      return { kind: "error", type: read(":error-code"), payload };
    default:
      return { kind: "unknown", type: "", payload };
  }
}

/**
 * Cuts a stream into its frames, however its reads are cut. Nothing is copied as long as reads end where frames end; what one
 * leaves over is kept until its frame is whole.
 */
export class FrameSplitter {
  /** What came after the last whole frame; the first `#carried` bytes count. */
  #carry: Buffer = NO_BYTES;
  #carried = 0;
  #isBroken = false;

  /** Whether a frame's length can't be one. Nothing more is read then. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Hands over each whole frame until `take` says false; returns the bytes of those for which it said true. */
  read(chunk: Buffer, take: (frame: Buffer) => boolean): Buffer {
    const fresh = this.#carried === 0;
    const bytes = fresh ? chunk : this.#append(chunk);
    let at = 0;
    while (bytes.length - at >= 4) {
      const size = bytes.readUInt32BE(at);
      if (size < MIN_FRAME_BYTES || size > MAX_FRAME_BYTES) {
        this.#isBroken = true;
        break;
      }
      if (bytes.length - at < size || !take(bytes.subarray(at, at + size))) break;
      at += size;
    }
    this.#keep(bytes, at, fresh);
    return bytes.subarray(0, at);
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

  #keep(bytes: Buffer, from: number, fresh: boolean): void {
    const size = bytes.length - from;
    if (fresh || from > 0) {
      // Frames that were handed over stand in what was carried: it is not written to again.
      this.#carry = NO_BYTES;
      this.#carried = 0;
      if (size > 0) this.#append(bytes.subarray(from));
    }
    this.#carried = size;
  }
}
