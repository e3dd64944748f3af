import { REASONS, type Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { ProviderFailure } from "../providers/dialect.ts";
import { type CallersFault, findFault, isLasting, type TargetFault } from "../providers/fault.ts";

/** Why an attempt brought no answer, or no whole one. */
export interface AttemptFailure {
  readonly error: WeirError;
  /** Whether another target may do better. */
  readonly elsewhere: boolean;
  /** What it says of the target; absent when nothing. */
  readonly fault?: TargetFault;
  /** Whether the same request would fail in the same way again: it or its target must be changed by somebody. */
  readonly lasts: boolean;
  readonly said?: ProviderFailure["said"];
  readonly status?: number;
  /** The provider's headers that may go to the caller with its refusal. */
  readonly relayedHeaders?: readonly (readonly [name: string, value: string])[];
}

/** Whose failure it is, and when. */
export interface FailedTarget {
  readonly id: string;
  /** Takes its credential out of what it says. */
  readonly hideSecret: (text: string) => string;
  /** Status of its answer; 0 when there was none. */
  readonly status: number;
  /** A provider's failure after content is a cut, whatever it was. */
  readonly hadContent: boolean;
}

/** What this router says of an attempt that failed: the part of the message after `Cannot answer: `, and its facts. */
export interface StatedFailure {
  readonly reason: Reason;
  readonly state: string;
  readonly elsewhere: boolean;
  /** What it says of the target, where that does not follow from the reason. */
  readonly fault?: TargetFault | CallersFault;
  readonly facts?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** Words a failure that this router found. */
export function stateFailure(target: FailedTarget, stated: StatedFailure): AttemptFailure {
  const { reason, state, elsewhere, facts, cause } = stated;
  const fault = findFault(reason, stated.fault);
  const error = new WeirError(toReason(reason, target), `Cannot answer: ${state}`, {
    facts: { ...facts, target: target.id },
    cause,
  });
  return { error, elsewhere, lasts: !REASONS[reason].retry, ...(fault !== undefined && { fault }) };
}

/**
 * Words a failure that the provider stated, without the credential, should it quote it. Its body goes on only to a caller of the
 * same format, which is one whose bytes were relayed.
 */
export function relayFailure(target: FailedTarget, failure: ProviderFailure, kind: "relay" | "typed"): AttemptFailure {
  const { said, retryAfterMs } = failure;
  const { hideSecret: hide } = target;
  const status = target.status === 200 ? undefined : target.status;
  const fault = findFault(failure.reason, failure.fault);
  // What a provider finds wrong with the request, and not with its target, it finds wrong again.
  const lasts = !REASONS[failure.reason].retry || isLasting(fault) || failure.fault === "caller";
  const error = new WeirError(toReason(failure.reason, target), `Cannot answer: ${hide(failure.state)}`, {
    facts: {
      target: target.id,
      ...(status !== undefined && { provider_status: String(status) }),
      ...(said?.code && { provider_code: hide(said.code) }),
      ...(said?.param && { param: hide(said.param) }),
    },
    ...(retryAfterMs !== undefined && !lasts && { retryAfterMs }),
  });
  return {
    error,
    elsewhere: failure.elsewhere,
    lasts,
    ...(fault !== undefined && { fault }),
    ...(status !== undefined && { status }),
    ...(said && {
      said: {
        message: hide(said.message),
        type: hide(said.type),
        code: hide(said.code),
        param: hide(said.param),
        ...(kind === "relay" && said.body !== undefined && { body: Buffer.from(hide(said.body.toString("utf8"))) }),
      },
    }),
  };
}

function toReason(reason: Reason, { hadContent }: FailedTarget): Reason {
  return hadContent && reason.startsWith("PROVIDER_") ? "STREAM_CUT" : reason;
}
