import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { toConnectError } from "../errors/wire.ts";

/**
 * Gives each error of an RPC its reason, also where the RPC library refuses a request before any interceptor hears of it:
 * what cannot be decoded, what is too large. Errors that name a reason already go out as they are.
 */
export function completeErrors(
  response: UniversalServerResponse,
): UniversalServerResponse | Promise<UniversalServerResponse> {
  const type = response.header?.get("content-type") ?? "";
  const { body } = response;
  if (type.startsWith("application/grpc-web")) {
    return body === undefined ? response : { ...response, body: mapEnd(body, trailerFlag, completeWebTrailer) };
  }
  if (type.startsWith("application/grpc")) return { ...response, body: thenComplete(body, response.trailer) };
  if (type.startsWith("application/connect+")) {
    return body === undefined ? response : { ...response, body: mapEnd(body, endStreamFlag, completeEndStream) };
  }
  const isUnaryError = response.status >= 400 && type.startsWith("application/json") && body !== undefined;
  return isUnaryError && !response.header?.has("content-encoding") ? completeUnary(response, body) : response;
}

/** What an error should be; `undefined` when it is that already. */
function findBetter(error: ConnectError | undefined): ConnectError | undefined {
  if (error === undefined || error.findDetails(ErrorInfoSchema).length > 0) return undefined;
  return toConnectError(findRefusal(error) ?? new ConnectError(error.rawMessage, error.code));
}

/**
 * What an error without a reason of ours says, when it is a refusal of the library's own: known by its words, which are those of its
 * pinned version; a test holds them.
 */
export function findRefusal(error: ConnectError): WeirError | undefined {
  const said = error.rawMessage;
  const [, size, limit] = /size (\d+) is larger than configured readMaxBytes (\d+)$/.exec(said) ?? [];
  if (size !== undefined && limit !== undefined) {
    const message = `Cannot read request: a message has ${size} bytes, may have ${limit}`;
    return new WeirError("BODY_TOO_LARGE", message, { facts: { size_bytes: size, limit_bytes: limit } });
  }
  if (/larger than configured readMaxBytes/.test(said)) {
    return new WeirError("BODY_TOO_LARGE", "Cannot read request: a message is larger than the limit");
  }
  // It says INTERNAL of binary that does not parse, but that is the caller's doing.
  if (said.startsWith("parse binary")) {
    return new WeirError("BODY_MALFORMED", "Cannot read request: the bytes are not a message of the method's type");
  }
  // The same of a message that is marked as compressed where no compression was named.
  if (error.code === Code.InvalidArgument || said.startsWith("received compressed envelope"))
    return new WeirError("BODY_MALFORMED", `Cannot read request: ${said}`);
  return undefined;
}

async function completeUnary(
  response: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
): Promise<UniversalServerResponse> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  const bytes = Buffer.concat(parts);
  const error = findBetter(errorFromJsonBytes(bytes, undefined, new ConnectError("unreadable", Code.Internal)));
  if (error === undefined) return { ...response, body: toBody(bytes) };
  const completed = errorToJsonBytes(error, undefined);
  const header = new Headers(response.header);
  header.set("content-length", String(completed.byteLength));
  return { ...response, status: codeToHttpStatus(error.code), header, body: toBody(completed) };
}

async function* toBody(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* thenComplete(
  body: AsyncIterable<Uint8Array> | undefined,
  trailer: Headers | undefined,
): AsyncGenerator<Uint8Array> {
  if (body !== undefined) yield* body;
  const error = trailer && findBetter(findTrailerError(trailer));
  if (trailer !== undefined && error !== undefined) setTrailerStatus(trailer, error);
}

function completeWebTrailer(bytes: Uint8Array): Uint8Array {
  const trailer = trailerParse(bytes);
  const error = findBetter(findTrailerError(trailer));
  return error === undefined ? bytes : trailerSerialize(setTrailerStatus(trailer, error));
}

function completeEndStream(bytes: Uint8Array): Uint8Array {
  const { metadata, error } = endStreamFromJson(bytes);
  const better = findBetter(error);
  return better === undefined ? bytes : Buffer.from(JSON.stringify(endStreamToJson(metadata, better, undefined)));
}

/** Bytes before an enveloped message: a byte of flags and its length. */
const PREFIX_BYTES = 5;

/** Changes the one enveloped message that carries `flag`, uncompressed: the end of a stream. The others go through. */
async function* mapEnd(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  change: (message: Uint8Array) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    // The library writes each envelope in one piece.
    if (chunk[0] !== flag || chunk.byteLength < PREFIX_BYTES) yield chunk;
    else {
      const message = change(chunk.subarray(PREFIX_BYTES));
      const envelope = Buffer.alloc(PREFIX_BYTES + message.byteLength);
      envelope.writeUInt8(flag, 0);
      envelope.writeUInt32BE(message.byteLength, 1);
      envelope.set(message, PREFIX_BYTES);
      yield envelope;
    }
  }
}
