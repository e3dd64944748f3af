import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata, ServiceError } from "@grpc/grpc-js";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";

/**
 * A failed call as a `ConnectError`: code, message and details as the server meant them. What grpc-js itself says of a
 * connection (it names addresses) is kept as the cause only, and so is the metadata: a handler that lets the error
 * through would send them on to its own caller.
 */
export function toCallError(
  error: unknown,
  call: { readonly path: string; readonly signal?: AbortSignal | undefined },
): ConnectError {
  if (error instanceof ConnectError) return error;
  if (!isServiceError(error)) {
    return new ConnectError(
      `Cannot call ${call.path}: the answer cannot be read`,
      Code.Internal,
      undefined,
      undefined,
      error,
    );
  }
  // The codes of gRPC and Connect are the same numbers; 0 would be no error.
  const code = error.code as number as Code;
  const status = readStatus(error.metadata);
  if (status !== undefined) {
    // The message of the status proto has not been through the header's percent-encoding, on which libraries differ.
    const sent = new ConnectError(status.message, code, undefined, undefined, error);
    sent.details = status.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    return sent;
  }
  if (call.signal?.aborted)
    return new ConnectError(`Cannot call ${call.path}: it was cancelled`, Code.Canceled, undefined, undefined, error);
  // A peer that dies resets its streams with CANCEL. We did not cancel, so this is its absence and not our wish.
  if (code === Code.Canceled || code === Code.Unavailable) {
    return new ConnectError(
      `Cannot call ${call.path}: no instance answers`,
      Code.Unavailable,
      undefined,
      undefined,
      error,
    );
  }
  if (code === Code.DeadlineExceeded) {
    return new ConnectError(
      `Cannot call ${call.path}: no answer within the deadline`,
      code,
      undefined,
      undefined,
      error,
    );
  }
  return new ConnectError(error.details, code, undefined, undefined, error);
}

/** Metadata of grpc-js as Connect has it: binary values in base64. */
export function toHeaders(metadata: Metadata | undefined, into = new Headers()): Headers {
  for (const key of Object.keys(metadata?.getMap() ?? {})) {
    for (const value of metadata?.get(key) ?? [])
      into.append(key, typeof value === "string" ? value : value.toString("base64"));
  }
  return into;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as ServiceError).code === "number" && "details" in error;
}

function readStatus(metadata: Metadata | undefined) {
  const [bytes] = metadata?.get("grpc-status-details-bin") ?? [];
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    // Details are an addition: without them the code and message still stand.
    return undefined;
  }
}
