import { ErrorCode, NatsError } from "nats";
import { WeirError } from "../errors/weir-error.ts";

// https://github.com/nats-io/nats-server/blob/v2.9.10/server/errors.json
const STREAM_NOT_FOUND = 10059;
const CONSUMER_NOT_FOUND = 10014;
const MESSAGE_NOT_FOUND = 10037;
const STREAM_NAME_IN_USE = 10058;
const STORAGE_FULL = new Set([10077, 10047, 10023]);

/**
 * Translates what the NATS client throws: all of it is UNAVAILABLE, since a message that was not acknowledged is sent again
 * and nothing about it is final. The cause is kept for logs. A WeirError passes through.
 */
export function toBusError(act: string, error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  const facts: Record<string, string> = {};
  const state = describe(error, facts);
  return new WeirError("UNAVAILABLE", `Cannot ${act}: ${state}`, { facts, cause: error });
}

/** Does the server say that there is no such stream? */
export function isStreamMissing(error: unknown): boolean {
  return apiErrorCode(error) === STREAM_NOT_FOUND;
}

/** Does the server say that the stream has no such message? */
export function isMessageMissing(error: unknown): boolean {
  return apiErrorCode(error) === MESSAGE_NOT_FOUND;
}

/** Does the server say that there is no such consumer? */
export function isConsumerMissing(error: unknown): boolean {
  return apiErrorCode(error) === CONSUMER_NOT_FOUND;
}

/** Does the server say that the stream exists with other settings? */
export function isStreamInUse(error: unknown): boolean {
  return apiErrorCode(error) === STREAM_NAME_IN_USE;
}

function apiErrorCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

function describe(error: unknown, facts: Record<string, string>): string {
  if (!(error instanceof NatsError)) return "NATS is not reachable";
  const api = error.api_error;
  if (api !== undefined) {
    facts.nats_error = String(api.err_code);
    return STORAGE_FULL.has(api.err_code ?? 0) ? "the stream is full" : `NATS refused with error ${api.err_code}`;
  }
  facts.nats_error = error.code;
  switch (error.code) {
    case ErrorCode.NoResponders:
      return "no stream of NATS listens";
    case ErrorCode.Timeout:
      // A full disk looks like this too: nats-server 2.9 then answers nothing at all.
      return "NATS did not answer in time";
    case ErrorCode.PermissionsViolation:
    case ErrorCode.AuthorizationViolation:
      return "NATS does not allow it";
    default:
      return `NATS is not reachable (${error.code})`;
  }
}
