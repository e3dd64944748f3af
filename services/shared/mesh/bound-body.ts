import type { DescMethod } from "@bufbuild/protobuf";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { WeirError } from "../errors/weir-error.ts";
import { toConnectError } from "../errors/wire.ts";
import { requireFewFields, requireFewJsonValues } from "../validation/few-values.ts";
import { toEnvelopes } from "./envelope.ts";

/** Of the envelopes of gRPC, gRPC-Web and Connect's streams: one byte of flags, then the length of the message, big-endian. */
const PREFIX_BYTES = 5;
const COMPRESSED = 1;

/** What a message may have. */
export interface MessageBounds {
  /** Largest message, after decompression, bytes. */
  readonly mostBytes: number;
  /** Most values of a message; see `few-values.ts`. */
  readonly mostValues: number;
}

/**
 * Bounds the body of a request that is one message: it is handed on once it is whole, unpacked, and its values are few. Else reading it
 * throws BODY_TOO_LARGE, as the library says what is wrong with a body. What nobody could make sense of is handed on as it is: the library
 * refuses it.
 */
export function boundBody(
  method: DescMethod,
  request: UniversalServerRequest,
  bounds: MessageBounds,
): UniversalServerRequest {
  const type = request.header.get("content-type") ?? "";
  const check = (message: Uint8Array) => requireFewValues(method, type, message, bounds.mostValues);
  const unpack = (bytes: Buffer) => compressionGzip.decompress(bytes, bounds.mostBytes);
  const isGrpc = /^application\/grpc/i.test(type);
  if (isGrpc || /^application\/connect/i.test(type)) {
    const isGzip = request.header.get(isGrpc ? "grpc-encoding" : "connect-content-encoding") === "gzip";
    const open = (body: Buffer) => openEnvelopes(body, isGzip ? unpack : undefined, check);
    return { ...request, body: boundWhole(request, bounds, open) };
  }
  const isGzip = request.header.get("content-encoding") === "gzip";
  const header = new Headers(request.header);
  // Of what is handed on neither is true any more.
  if (isGzip) for (const name of ["content-encoding", "content-length"]) header.delete(name);
  return {
    ...request,
    header,
    body: boundWhole(request, bounds, (body) => openMessage(body, isGzip ? unpack : undefined, check)),
  };
}

type Unpack = ((bytes: Buffer) => Promise<Uint8Array>) | undefined;
type Check = (message: Uint8Array) => void;

async function* boundWhole(
  { body }: UniversalServerRequest,
  { mostBytes }: MessageBounds,
  open: (body: Buffer) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const whole: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    whole.push(chunk);
    sizeBytes += chunk.length;
    // Too large already, which the library says.
    if (sizeBytes > mostBytes + PREFIX_BYTES) yield* whole.splice(0);
  }
  yield* open(Buffer.concat(whole));
}

async function* openMessage(body: Buffer, unpack: Unpack, check: Check): AsyncGenerator<Uint8Array> {
  const message = unpack === undefined ? body : await unpack(body);
  check(message);
  yield message;
}

async function* openEnvelopes(body: Buffer, unpack: Unpack, check: Check): AsyncGenerator<Uint8Array> {
  let at = 0;
  // The library decodes a second one before it refuses it, and no third; one that is cut short it decodes never.
  for (let count = 0; at + PREFIX_BYTES <= body.length && count < 2; count++) {
    const begin = at + PREFIX_BYTES;
    const end = begin + body.readUInt32BE(at + 1);
    if (end > body.length) break;
    const flags = body.readUInt8(at);
    if (unpack !== undefined && (flags & COMPRESSED) !== 0) {
      const message = await unpack(body.subarray(begin, end));
      check(message);
      const envelope = toEnvelopes([message]);
      envelope.writeUInt8(flags ^ COMPRESSED, 0);
      yield envelope;
    } else {
      check(body.subarray(begin, end));
      yield body.subarray(at, end);
    }
    at = end;
  }
  yield body.subarray(at);
}

function requireFewValues(method: DescMethod, type: string, message: Uint8Array, most: number): void {
  try {
    if (/json/i.test(type)) requireFewJsonValues(Buffer.from(message.buffer, message.byteOffset, message.length), most);
    else requireFewFields(method.input, message, most);
  } catch (error) {
    throw error instanceof WeirError ? toConnectError(error) : error;
  }
}
