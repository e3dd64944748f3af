import { Code } from "@connectrpc/connect";

/** How a reason looks on every wire, and what can be done about it. */
export interface ReasonFacts {
  /** gRPC and Connect code. */
  readonly code: Code;
  /** HTTP status on the surfaces that are HTTP themselves (OpenAI, Anthropic); Connect derives its own from the code. */
  readonly status: number;
  /** Whether the same request can succeed later without a change by its sender. */
  readonly retry: boolean;
  /** Who should act. */
  readonly actor: "caller" | "operator" | "provider" | "nobody";
  /** `error.type` in the OpenAI dialect (https://platform.openai.com/docs/guides/error-codes). */
  readonly type: string;
}

/**
 * Every reason for which Weir refuses or fails, closed: a reason is on the list because somebody handles it by kind.
 * It travels as `google.rpc.ErrorInfo.reason` with the domain `weir`. Alphabetical, one line each; names are for ever.
 */
export const REASONS = {
  ALREADY_EXISTS: {
    code: Code.AlreadyExists,
    status: 409,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  ARGUMENT_INVALID: {
    code: Code.InvalidArgument,
    status: 400,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  BODY_MALFORMED: {
    code: Code.InvalidArgument,
    status: 400,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  BODY_MEMORY_FULL: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  BODY_TOO_LARGE: {
    code: Code.ResourceExhausted,
    status: 413,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  BODY_TOO_SLOW: {
    code: Code.DeadlineExceeded,
    status: 408,
    retry: true,
    actor: "caller",
    type: "invalid_request_error",
  },
  CALLER_GONE: { code: Code.Canceled, status: 499, retry: false, actor: "nobody", type: "invalid_request_error" },
  CONTENT_TYPE_UNSUPPORTED: {
    code: Code.InvalidArgument,
    status: 415,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  CREDENTIAL_MISSING: { code: Code.Unavailable, status: 503, retry: false, actor: "operator", type: "server_error" },
  CREDENTIAL_REFUSED: { code: Code.Unavailable, status: 503, retry: false, actor: "operator", type: "server_error" },
  DEADLINE_EXCEEDED: { code: Code.DeadlineExceeded, status: 504, retry: true, actor: "caller", type: "server_error" },
  DRAINING: { code: Code.Unavailable, status: 503, retry: true, actor: "nobody", type: "server_error" },
  IDENTITY_MISSING: {
    code: Code.Unauthenticated,
    status: 401,
    retry: false,
    actor: "caller",
    type: "authentication_error",
  },
  INTERNAL: { code: Code.Internal, status: 500, retry: false, actor: "operator", type: "server_error" },
  KEY_DISABLED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "operator",
    type: "permission_error",
  },
  KEY_EXPIRED: { code: Code.Unauthenticated, status: 401, retry: false, actor: "caller", type: "authentication_error" },
  KEY_MALFORMED: {
    code: Code.Unauthenticated,
    status: 401,
    retry: false,
    actor: "caller",
    type: "authentication_error",
  },
  KEY_MISSING: { code: Code.Unauthenticated, status: 401, retry: false, actor: "caller", type: "authentication_error" },
  KEY_REGION_NOT_ALLOWED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "caller",
    type: "permission_error",
  },
  KEY_REVOKED: { code: Code.Unauthenticated, status: 401, retry: false, actor: "caller", type: "authentication_error" },
  KEY_UNKNOWN: { code: Code.Unauthenticated, status: 401, retry: false, actor: "caller", type: "authentication_error" },
  KEYRING_STALE: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  METHOD_NOT_ALLOWED: {
    code: Code.Unimplemented,
    status: 405,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  MODEL_NOT_ALLOWED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "caller",
    type: "permission_error",
  },
  MODEL_UNKNOWN: { code: Code.NotFound, status: 404, retry: false, actor: "caller", type: "invalid_request_error" },
  NO_TARGET: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  NOT_FOUND: { code: Code.NotFound, status: 404, retry: false, actor: "caller", type: "invalid_request_error" },
  NOT_READY: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  NOT_SERVED: { code: Code.Unimplemented, status: 501, retry: false, actor: "caller", type: "invalid_request_error" },
  PERMISSION_DENIED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "caller",
    type: "permission_error",
  },
  POLICY_REFUSED: {
    code: Code.InvalidArgument,
    status: 422,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  PROOF_REFUSED: { code: Code.DataLoss, status: 500, retry: false, actor: "operator", type: "server_error" },
  PROVIDER_FAILED: { code: Code.Unavailable, status: 502, retry: true, actor: "provider", type: "server_error" },
  PROVIDER_RATE_LIMITED: {
    code: Code.ResourceExhausted,
    status: 429,
    retry: true,
    actor: "provider",
    type: "rate_limit_error",
  },
  PROVIDER_REFUSED: {
    code: Code.InvalidArgument,
    status: 400,
    retry: false,
    actor: "caller",
    type: "invalid_request_error",
  },
  PROVIDER_TIMEOUT: { code: Code.DeadlineExceeded, status: 504, retry: true, actor: "provider", type: "server_error" },
  RATE_LIMITED: { code: Code.ResourceExhausted, status: 429, retry: true, actor: "caller", type: "rate_limit_error" },
  RULE_DENIED: { code: Code.PermissionDenied, status: 403, retry: false, actor: "caller", type: "permission_error" },
  RULE_EXCLUDED: { code: Code.PermissionDenied, status: 403, retry: false, actor: "caller", type: "permission_error" },
  SETTING_INVALID: {
    code: Code.FailedPrecondition,
    status: 500,
    retry: false,
    actor: "operator",
    type: "server_error",
  },
  SNAPSHOT_REFUSED: {
    code: Code.FailedPrecondition,
    status: 500,
    retry: false,
    actor: "operator",
    type: "server_error",
  },
  SPOOL_FULL: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  STREAM_CUT: { code: Code.Unavailable, status: 502, retry: true, actor: "provider", type: "server_error" },
  TARGET_EJECTED: { code: Code.Unavailable, status: 503, retry: true, actor: "provider", type: "server_error" },
  TENANT_DISABLED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "operator",
    type: "permission_error",
  },
  TIMEOUT: { code: Code.DeadlineExceeded, status: 504, retry: true, actor: "caller", type: "server_error" },
  TOKEN_REFUSED: {
    code: Code.Unauthenticated,
    status: 401,
    retry: false,
    actor: "caller",
    type: "authentication_error",
  },
  TOOL_NOT_ALLOWED: {
    code: Code.PermissionDenied,
    status: 403,
    retry: false,
    actor: "caller",
    type: "permission_error",
  },
  UNAVAILABLE: { code: Code.Unavailable, status: 503, retry: true, actor: "operator", type: "server_error" },
  VERSION_CONFLICT: { code: Code.Aborted, status: 409, retry: false, actor: "caller", type: "invalid_request_error" },
} as const satisfies Readonly<Record<string, ReasonFacts>>;

/** A name on the list of reasons. */
export type Reason = keyof typeof REASONS;

/** Narrows a string from a wire to a reason on the list. */
export function isReason(value: string): value is Reason {
  return Object.hasOwn(REASONS, value);
}
