import { Code, ConnectError } from "@connectrpc/connect";
import { WeirError } from "../errors/weir-error.ts";

/** Bytes before each message of gRPC: one of flags, then its length, big-endian (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;
const COMPRESSED = 1;

/**
 * Takes the body of a call that sends one message, in whatever pieces it comes, and hands out that message. Refuses what the RPC
 * library refuses, with the same words: a test holds them side by side. Input from outside: its lengths are believed only as far as
 * bytes follow.
 */
export class EnvelopeReader<T> {
  readonly #limitBytes: number;
  readonly #kind: string;
  readonly #parse: (message: Buffer) => T;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  #compressed = false;
  #missingBytes = 0;
  /** Of the message under way; the bytes of one beyond the first are not kept. */
  #parts: Buffer[] = [];
  #message: { readonly parsed: T } | undefined;

  /**
   * `limitBytes` is the largest size of a message; `kind` is that of the method, for words; `parse` gets the message once it is
   * whole, before what may follow it is looked at.
   */
  constructor(limitBytes: number, kind: "unary" | "server-streaming", parse: (message: Buffer) => T) {
    this.#limitBytes = limitBytes;
    this.#kind = kind;
    this.#parse = parse;
  }

  /** Takes the next bytes. Throws what is wrong with them; nothing may be taken after that. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        at += this.#takePrefix(chunk, at);
        if (this.#prefixBytes < PREFIX_BYTES) return;
      } else {
        const end = Math.min(chunk.length, at + this.#missingBytes);
        if (this.#message === undefined)
          this.#parts.push(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end));
        this.#missingBytes -= end - at;
        at = end;
      }
      if (this.#missingBytes === 0) this.#finishMessage();
    }
  }

  /** Takes the end of the body and returns the message as it was parsed. Throws when there is not exactly one. */
  end(): T {
    if (this.#prefixBytes > 0) throw malformed("protocol error: incomplete envelope");
    const message = this.#message;
    if (message === undefined) throw this.#unimplemented("missing");
    // Whoever holds on to the reader must not hold on to what was read.
    this.#message = undefined;
    return message.parsed;
  }

  #takePrefix(chunk: Buffer, from: number): number {
    // Nearly always it comes in one piece with what follows.
    const copied = chunk.copy(this.#prefix, this.#prefixBytes, from, from + PREFIX_BYTES - this.#prefixBytes);
    this.#prefixBytes += copied;
    if (this.#prefixBytes === PREFIX_BYTES) {
      this.#compressed = (this.#prefix.readUInt8(0) & COMPRESSED) !== 0;
      this.#missingBytes = this.#prefix.readUInt32BE(1);
      if (this.#missingBytes > this.#limitBytes) throw tooLarge(this.#missingBytes, this.#limitBytes);
    }
    return copied;
  }

  #finishMessage(): void {
    if (this.#compressed) {
      throw malformed("received compressed envelope, but do not know how to decompress");
    }
    if (this.#message !== undefined) throw this.#unimplemented("received extra");
    this.#message = { parsed: this.#parse(this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)) };
    this.#parts = [];
    this.#prefixBytes = 0;
  }

  #unimplemented(state: string): ConnectError {
    return new ConnectError(`protocol error: ${state} input message for ${this.#kind} method`, Code.Unimplemented);
  }
}

/** Puts messages into one piece, each with its prefix, uncompressed. */
export function toEnvelopes(messages: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const { length } of messages) size += PREFIX_BYTES + length;
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const message of messages) {
    bytes.writeUInt8(0, at);
    bytes.writeUInt32BE(message.length, at + 1);
    bytes.set(message, at + PREFIX_BYTES);
    at += PREFIX_BYTES + message.length;
  }
  return bytes;
}

/** The messages of such a piece, which we have made ourselves. They share its memory. */
export function fromEnvelopes(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const begin = at + PREFIX_BYTES;
    at = begin + bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(begin, at));
  }
  return messages;
}

function malformed(state: string): WeirError {
  return new WeirError("BODY_MALFORMED", `Cannot read request: ${state}`);
}

function tooLarge(sizeBytes: number, limitBytes: number): WeirError {
  return new WeirError(
    "BODY_TOO_LARGE",
    `Cannot read request: a message has ${sizeBytes} bytes, may have ${limitBytes}`,
    {
      facts: { size_bytes: String(sizeBytes), limit_bytes: String(limitBytes) },
    },
  );
}
