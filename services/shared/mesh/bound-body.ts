import type { DescMethod } from "@bufbuild/protobuf";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { WeirError } from "../errors/weir-error.ts";
import { toConnectError } from "../errors/wire.ts";
import { requireFewFields, requireFewJsonValues } from "../validation/few-values.ts";

/** Of the envelopes of gRPC, gRPC-Web and Connect's streams: one byte of flags, then the length of the message, big-endian. */
const PREFIX_BYTES = 5;
const COMPRESSED = 1;

/**
 * Hands on the body of a request that is one message, once that is whole and its values are few; else throws BODY_TOO_LARGE as the
 * library says what is wrong with a body. What it could not make sense of it hands on as it is: the library refuses it.
 */
export async function* boundBody(
  method: DescMethod,
  { header, body }: UniversalServerRequest,
  readMaxBytes: number,
): AsyncGenerator<Uint8Array> {
  const whole: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    whole.push(chunk);
    sizeBytes += chunk.length;
    // Too large already, which the library says.
    if (sizeBytes > readMaxBytes + PREFIX_BYTES) yield* whole.splice(0);
  }
  const bytes = Buffer.concat(whole);
  for await (const message of readMessages(bytes, header, readMaxBytes)) requireFewValues(method, message, header);
  yield bytes;
}

async function* readMessages(body: Buffer, header: Headers, readMaxBytes: number): AsyncGenerator<Buffer> {
  if (!/^application\/(grpc|connect)/i.test(header.get("content-type") ?? "")) {
    yield await unpack(body, header.get("content-encoding") === "gzip", readMaxBytes);
    return;
  }
  // The library decodes a second one before it refuses it, and no third.
  for (let at = 0, count = 0; at + PREFIX_BYTES <= body.length && count < 2; count++) {
    const end = at + PREFIX_BYTES + body.readUInt32BE(at + 1);
    const isCompressed = ((body[at] as number) & COMPRESSED) !== 0;
    yield await unpack(body.subarray(at + PREFIX_BYTES, end), isCompressed, readMaxBytes);
    at = end;
  }
}

/** The message as it will be decoded; nothing of one that will not be. */
async function unpack(bytes: Buffer, isCompressed: boolean, readMaxBytes: number): Promise<Buffer> {
  if (!isCompressed) return bytes;
  try {
    return Buffer.from((await compressionGzip.decompress(bytes, readMaxBytes)).buffer);
  } catch {
    return Buffer.alloc(0); // the library fails at it as well, and says why
  }
}

function requireFewValues(method: DescMethod, message: Buffer, header: Headers): void {
  try {
    if (/json/i.test(header.get("content-type") ?? "")) requireFewJsonValues(message);
    else requireFewFields(method.input, message);
  } catch (error) {
    throw error instanceof WeirError ? toConnectError(error) : error;
  }
}
