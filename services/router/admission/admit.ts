import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { findGrantDenial } from "../../shared/decision/check-grant.ts";
import { decide } from "../../shared/decision/decide.ts";
import type { Plan } from "../../shared/decision/plan.ts";
import type { AskedFacts } from "../../shared/decision/rule-tables.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { PinnedPolicy } from "../../shared/snapshot/hold.ts";
import type { Admission, Denial } from "./admission.ts";
import { findCaller, type ProvenCaller } from "./caller.ts";
import { checkTools } from "./check-tools.ts";
import { toCountedLimits } from "./counted-limits.ts";
import type { LimitCounters, LimitRefusal } from "./counters.ts";
import type { CallerHeaders } from "./credentials.ts";

/** What a caller presents. */
export interface PresentedKey {
  readonly headers: CallerHeaders;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** For how long the keyring was not confirmed: asked for keys of the strict class only, which are denied without it. */
  readonly getKeyringAgeMs?: (() => number) | undefined;
}

/** What a caller asks for. */
export interface AskedCall {
  /** Id of the model, as the caller wrote it. */
  readonly model: string;
  /** Id of the call, minted before. */
  readonly eventId: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Who asks, as {@link identify} has said under the same pinned policy. */
  readonly proven: ProvenCaller;
  /** What rules can ask about it; see `DescribedCall`. */
  readonly asked?: AskedFacts;
  /** Reads the names of the tools that it offers a model: for keys whose tools are limited, and where a rule asks. Absent when it offers none. */
  readonly listTools?: () => readonly string[];
  /** Why a target can't be used now: its credential is missing. Absent when all can. */
  readonly findRejection?: (target: SnapshotTarget) => Reason | undefined;
  /** Takes targets out of the plan by what this router knows of them beside that, or denies the call. Absent when it knows nothing. */
  readonly narrow?: ((plan: Plan) => Plan | Denial) | undefined;
}

/**
 * Admits a call of a proven caller or says why not: tools, grant, plan, limits, in this order, so that only a call that could be made uses up
 * a limit. Synchronous and without a look outside this process.
 */
export function admit(pinned: PinnedPolicy, counters: LimitCounters, call: AskedCall): Admission | Denial {
  const { grant, caller } = call.proven;
  const { model, eventId, nowMs, asked, listTools, findRejection, narrow } = call;
  const hasTools = listTools !== undefined && checkTools(pinned, grant, listTools);
  if (typeof hasTools === "object") return { ...hasTools, caller };
  const decided = decide(pinned.tables, { grant, model, eventId, nowMs, asked, hasTools, findRejection });
  const plan = narrow === undefined || decided.kind === "denial" ? decided : narrow(decided);
  if (plan.kind === "denial") return { ...plan, caller };
  const limits = toCountedLimits(plan.limits, grant);
  const refusal = counters.count(limits, nowMs);
  if (refusal !== undefined) return { ...toDenial(refusal), caller };
  return { kind: "admission", caller, grant, hasTools, plan, limits, pinned };
}

/**
 * Says who asks, if the key is good: for what needs no model, such as the list of models. A denial names its caller only if
 * the secret was right.
 */
export function identify(
  pinned: PinnedPolicy,
  { headers, nowMs, getKeyringAgeMs }: PresentedKey,
): ProvenCaller | Denial {
  const proven = findCaller(pinned.keyring, headers);
  if (proven.kind === "denial") return proven;
  const { keyring } = pinned;
  const denial = findGrantDenial(
    proven.grant,
    pinned.snapshot.region,
    nowMs,
    keyring.hasDisabledTenants ? (tenant) => keyring.isTenantDisabled(tenant) : undefined,
  );
  if (denial !== undefined) return { ...denial, caller: proven.caller };
  if (nowMs >= proven.secretExpiresAtMs) return denyReplaced(proven);
  if (proven.grant.strictAfter !== undefined)
    return denyStale(proven, proven.grant.strictAfter, getKeyringAgeMs) ?? proven;
  return proven;
}

function denyReplaced({ grant: { keyId }, caller }: ProvenCaller): Denial {
  const message = `Cannot accept key "${keyId}": its secret was replaced by a newer one, and its time is over`;
  return { kind: "denial", reason: "KEY_EXPIRED", message, facts: { key_id: keyId }, caller };
}

/** Denies a strict key of which a revocation may not have been heard. */
function denyStale(
  { grant: { keyId }, caller }: ProvenCaller,
  strictAfter: Duration,
  getKeyringAgeMs: () => number = UNCONFIRMED,
): Denial | undefined {
  const ageMs = getKeyringAgeMs();
  const strictAfterMs = durationMs(strictAfter);
  if (ageMs <= strictAfterMs) return undefined;
  const strictAfterS = String(strictAfterMs / 1_000);
  return {
    kind: "denial",
    reason: "KEYRING_STALE",
    message: `Cannot accept key "${keyId}": this router has not heard from policy for longer than its ${strictAfterS} s`,
    facts: { key_id: keyId, strict_after_seconds: strictAfterS },
    retryAfterMs: RETRY_STALE_MS,
    caller,
  };
}

const UNCONFIRMED = (): number => Number.POSITIVE_INFINITY;
/** About when the next confirmation comes, once policy is heard again. */
const RETRY_STALE_MS = 5_000;

function toDenial({ limit, retryAfterMs }: LimitRefusal): Denial {
  const { id, subject, requestsPerMinute } = limit;
  const whose = id === "key" ? "of the key" : `"${id}" of "${subject}"`;
  return {
    kind: "denial",
    reason: "RATE_LIMITED",
    message: `Cannot start call: the limit ${whose} of ${requestsPerMinute} requests a minute is used up`,
    facts: { limit: id, requests_per_minute: String(requestsPerMinute) },
    retryAfterMs,
  };
}
