import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { isReason, REASONS, type Reason } from "./reason.ts";
import { type FieldViolation, WeirError } from "./weir-error.ts";

/** `google.rpc.ErrorInfo.domain` of every error of ours. */
const ERROR_DOMAIN = "weir";
/**
 * Most characters of an error's texts. gRPC sends all of them in trailers, for which HTTP/2 in Node has 64 KiB and other peers less; beyond
 * that the stream is reset, and nobody hears what was wrong. These fit however they are encoded.
 */
const MESSAGE_CHARACTERS = 2_000;
const FACT_CHARACTERS = 500;
/** So many fields at fault are named, with so many characters of them and of what is said of them together; the last that fits in part is cut. */
export const VIOLATIONS_LIMIT = 50;
/** See {@link VIOLATIONS_LIMIT}. */
export const VIOLATIONS_CHARACTERS = 5_000;

/** The reason that a bare code stands for, when its sender named none (a foreign server, a proxy, the RPC library). */
const REASON_OF_CODE: Readonly<Record<Code, Reason>> = {
  [Code.Canceled]: "CALLER_GONE",
  [Code.Unknown]: "INTERNAL",
  [Code.InvalidArgument]: "ARGUMENT_INVALID",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RATE_LIMITED",
  [Code.FailedPrecondition]: "INTERNAL",
  [Code.Aborted]: "VERSION_CONFLICT",
  [Code.OutOfRange]: "ARGUMENT_INVALID",
  [Code.Unimplemented]: "NOT_SERVED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "INTERNAL",
  [Code.Unauthenticated]: "KEY_MISSING",
};

/**
 * What a caller gets to see of an error: code and message, `google.rpc.ErrorInfo` (reason, domain `weir`, facts),
 * `BadRequest` when fields are at fault, `RetryInfo` when trying again can help. The cause stays here, and so does what is left of very long
 * texts, which may quote a caller. Anything that is neither a `WeirError` nor an error of the RPC library becomes INTERNAL without detail, since
 * nobody checked what its message gives away (AIP-193).
 */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return completeConnectError(error);
  const known = error instanceof WeirError ? error : toWeirError(error);
  const message = cut(known.message, MESSAGE_CHARACTERS);
  return new ConnectError(message, REASONS[known.reason].code, undefined, toDetails(known), error);
}

/**
 * An error from another service as a `WeirError`: with its own reason and facts when it names one of ours, else with
 * the reason that its code stands for. A `WeirError` is handed through. The original is kept as the cause.
 */
export function fromConnectError(error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  if (!(error instanceof ConnectError)) return toWeirError(error);
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === ERROR_DOMAIN);
  const reason = info !== undefined && isReason(info.reason) ? info.reason : REASON_OF_CODE[error.code];
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const violations = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map(({ field, description }) => ({ field, description })));
  return new WeirError(reason, error.rawMessage, {
    facts: info?.metadata ?? {},
    violations,
    cause: error,
    ...(delay && { retryAfterMs: toMilliseconds(delay) }),
  });
}

function toWeirError(error: unknown): WeirError {
  // The two names that the platform gives to an aborted wait (https://dom.spec.whatwg.org/#abortsignal).
  const name = error instanceof Error ? error.name : "";
  if (name === "TimeoutError")
    return new WeirError("DEADLINE_EXCEEDED", "Cannot answer: the deadline has passed", { cause: error });
  if (name === "AbortError")
    return new WeirError("CALLER_GONE", "Cannot answer: the call was cancelled", { cause: error });
  return new WeirError("INTERNAL", "Cannot answer: internal error", { cause: error });
}

/** An error that the RPC library made (it refuses what it cannot parse), or that a handler made with it. */
function completeConnectError(error: ConnectError): ConnectError {
  if (error.findDetails(ErrorInfoSchema).length > 0) return error;
  // These two codes are what the library makes of an exception: its message was never meant for a caller.
  if (error.code === Code.Internal || error.code === Code.Unknown) {
    return new ConnectError("Cannot answer: internal error", Code.Internal, undefined, [toInfo("INTERNAL", {})], error);
  }
  error.details.push(toInfo(REASON_OF_CODE[error.code], {}));
  return error;
}

type OutgoingDetail = NonNullable<ConstructorParameters<typeof ConnectError>[3]>[number];

function toDetails(error: WeirError): OutgoingDetail[] {
  const details: OutgoingDetail[] = [toInfo(error.reason, error.facts)];
  if (error.violations.length > 0) {
    details.push({ desc: BadRequestSchema, value: { fieldViolations: cutViolations(error.violations) } });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: toDuration(error.retryAfterMs) } });
  }
  return details;
}

function toInfo(reason: Reason, facts: Readonly<Record<string, string>>): OutgoingDetail {
  const metadata = Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, cut(fact, FACT_CHARACTERS)]));
  return { desc: ErrorInfoSchema, value: { reason, domain: ERROR_DOMAIN, metadata } };
}

function cutViolations(violations: readonly FieldViolation[]): FieldViolation[] {
  const sent: FieldViolation[] = [];
  let left = VIOLATIONS_CHARACTERS;
  for (const { field, description } of violations) {
    if (left <= 0 || sent.length === VIOLATIONS_LIMIT) break;
    sent.push({ field: cut(field, left), description: cut(description, Math.max(0, left - field.length)) });
    left -= field.length + description.length;
  }
  return sent;
}

/** Half of a character, which can't be sent, becomes U+FFFD, be it a caller's or of our cutting. */
function cut(text: string, most: number): string {
  return text.length <= most ? text.toWellFormed() : `${text.slice(0, most).toWellFormed()}…`;
}

function toDuration(milliseconds: number): Duration {
  const whole = Math.max(0, Math.ceil(milliseconds));
  return create(DurationSchema, { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1_000_000 });
}

function toMilliseconds(duration: Duration): number {
  return Number(duration.seconds) * 1000 + Math.ceil(duration.nanos / 1_000_000);
}
