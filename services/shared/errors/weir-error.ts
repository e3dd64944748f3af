import type { Reason } from "./reason.ts";

/** A field of a request, or of a document, that is not as it should be. */
export interface FieldViolation {
  /** Path of the field, such as `tenants[2].limits.requests_per_minute`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/** What an error carries beside its reason and message. All optional. */
export interface WeirErrorOptions {
  /** Everything that varies in the message, by snake_case name. Sent to the caller: no secret, no prompt, no address. */
  readonly facts?: Readonly<Record<string, string>>;
  /** After how many milliseconds trying again can help. Absent when it cannot, or nobody knows. */
  readonly retryAfterMs?: number;
  /** The fields at fault, all of them at once. Sent as `google.rpc.BadRequest`. */
  readonly violations?: readonly FieldViolation[];
  /** What brought it about. For logs; never sent. */
  readonly cause?: unknown;
}

/**
 * The one error class of Weir: something broken, or a refusal that leaves the process. An expected answer (a denial, a
 * finding, a verdict) is a value until it leaves. Its message says the act, then the state: `Cannot start chat: …`.
 */
export class WeirError extends Error {
  readonly reason: Reason;
  readonly facts: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly FieldViolation[];

  constructor(reason: Reason, message: string, options: WeirErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "WeirError";
    this.reason = reason;
    this.facts = options.facts ?? {};
    this.retryAfterMs = options.retryAfterMs;
    this.violations = options.violations ?? [];
  }
}
