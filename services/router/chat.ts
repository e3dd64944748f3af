import { create } from "@bufbuild/protobuf";
import type { Model } from "../../gen/weir/policy/v1/policy_pb.ts";
import { CallerSchema } from "../../gen/weir/type/v1/caller_pb.ts";
import { Operation, OutcomeKind, type PinnedVersions, PinnedVersionsSchema } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { toCandidates } from "../shared/decision/candidates.ts";
import { listModels } from "../shared/decision/decide.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import type { PinnedPolicy } from "../shared/snapshot/hold.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Accounting, OpenCall } from "./accounting/accounting.ts";
import { toAttempt } from "./accounting/attempts.ts";
import type { StartedCall } from "./accounting/started-call.ts";
import type { Admission, Denial } from "./admission/admission.ts";
import { admit, identify } from "./admission/admit.ts";
import type { LimitCounters } from "./admission/counters.ts";
import type { CallerHeaders } from "./admission/credentials.ts";
import type { AnswerHead, AnswerSink, ChatCall, Greeting } from "./arrival/call.ts";
import type { ChatDispatcher, DispatchResult } from "./dispatch/dispatch.ts";
import type { UpstreamBook } from "./routing/upstream-book.ts";
import { sumUsage } from "./usage-sum.ts";

/** The stations of a chat. */
export interface ChatStations {
  /** What the region runs now; undefined until a snapshot and a keyring have verified. */
  readonly current: () => PinnedPolicy | undefined;
  readonly counters: LimitCounters;
  readonly upstreams: UpstreamBook;
  readonly accounting: Accounting;
  readonly dispatcher: ChatDispatcher;
  readonly observer: ChatObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** Hears of chats, for metrics. Must not throw. */
export interface ChatObserver {
  onRefusal(reason: string): void;
  onOutcome(call: ChatCall, result: DispatchResult, endedAtMs: number): void;
}

/**
 * The life of a chat, in order: pin, admit, begin, dispatch, account, answer. From `begin` on it leaves exactly one outcome, on
 * every path: answered, failed, cut or cancelled here, abandoned by the successor of a process that died.
 */
export class Chats {
  readonly #stations: ChatStations;

  constructor(stations: ChatStations) {
    this.#stations = stations;
  }

  /** Takes a chat and sees to it that its sink is served. Never throws. */
  start(call: ChatCall, sink: AnswerSink): void {
    const head: AnswerHead = { eventId: call.eventId };
    try {
      const pinned = this.#pin();
      const pinnedHead = {
        ...head,
        snapshotVersion: pinned.snapshotVersion,
        keyringVersion: pinned.keyringVersion,
      };
      const admission = this.#admit(call, pinned);
      if (admission.kind === "denial") {
        sink.fail(pinnedHead, { error: this.#refuse(admission, call.arrivedAtMs) });
        return;
      }
      const started = toStartedCall(call, admission);
      const open = this.#stations.accounting.begin(started);
      this.#dispatch({ call, sink, head: pinnedHead, admission, started, open });
    } catch (error) {
      // Nothing has begun: no snapshot, no room in the spool, or a mistake of ours.
      sink.fail(head, { error: this.#toRefusal(error) });
    }
  }

  /** Looks at a caller before anything of a chat is there. Returns what is wrong, and has counted it. Never throws. */
  greet(headers: CallerHeaders): Greeting | WeirError {
    try {
      const nowMs = this.#stations.clock.nowMs();
      const pinned = this.#pin();
      const proven = identify(pinned, { headers, nowMs });
      return proven.kind === "denial" ? this.#refuse(proven, nowMs) : { pinned, proven };
    } catch (error) {
      return this.#toRefusal(error);
    }
  }

  /** The models that a caller may ask for. Throws what is wrong with the caller, and counts it. */
  listModels(headers: CallerHeaders): Model[] {
    const nowMs = this.#stations.clock.nowMs();
    let pinned: PinnedPolicy;
    try {
      pinned = this.#pin();
    } catch (error) {
      throw this.#toRefusal(error);
    }
    const proven = identify(pinned, { headers, nowMs });
    if (proven.kind === "denial") throw this.#refuse(proven, nowMs);
    return listModels(pinned.tables, proven.grant);
  }

  #pin(): PinnedPolicy {
    const pinned = this.#stations.current();
    if (pinned === undefined) {
      throw new WeirError("NOT_READY", "Cannot start call: this router has no snapshot yet", { retryAfterMs: 1_000 });
    }
    return pinned;
  }

  #admit({ headers, model, eventId, greeting }: ChatCall, pinned: PinnedPolicy): Admission | Denial {
    const { counters, upstreams, clock } = this.#stations;
    const { findRejection } = upstreams.get(pinned.snapshot);
    const asked = { headers, model, eventId, nowMs: clock.nowMs(), findRejection };
    // A keyring that came while the body was read counts.
    return admit(pinned, counters, greeting.pinned === pinned ? { ...asked, proven: greeting.proven } : asked);
  }

  #dispatch(chat: BegunChat): void {
    const { upstreams, dispatcher } = this.#stations;
    const { call, sink, head, admission, open } = chat;
    const targets = admission.plan.candidates.map(({ target }) => target);
    if (targets.length === 0) {
      const error = new WeirError(
        "NO_TARGET",
        `Cannot start call: no target of model "${call.model}" can be used now`,
        {
          facts: { model: call.model },
        },
      );
      this.#settle(chat, {
        kind: OutcomeKind.FAILED,
        reason: error.reason,
        attempts: [],
        head,
        failure: { error },
      });
      return;
    }
    let isDone = false;
    const onDone = (result: DispatchResult) => {
      if (isDone) return;
      isDone = true;
      this.#settle(chat, result);
    };
    try {
      dispatcher.dispatch({
        call,
        sink,
        targets,
        upstreams: upstreams.get(admission.pinned.snapshot),
        head,
        onAttempt: (target, startedAtMs, earlier) => open.attemptStarted(target, startedAtMs, earlier),
        onDone,
      });
    } catch (cause) {
      const error = new WeirError("INTERNAL", "Cannot answer: internal error", { cause });
      this.#stations.log.error({ err: error, event_id: call.eventId }, "Chat failed");
      onDone({ kind: OutcomeKind.FAILED, reason: "INTERNAL", attempts: [], head, failure: { error } });
    }
  }

  /** Accounts first, answers then: an answer that is whole has its usage in the spool. */
  #settle({ call, sink, started, open }: BegunChat, result: DispatchResult): void {
    const { clock, observer, log } = this.#stations;
    const { kind, reason, attempts, head, failure } = result;
    const endedAtMs = clock.nowMs();
    try {
      open.settle({ kind, endedAtMs, attempts, ...(reason !== undefined && { reason }) });
    } catch (error) {
      // Its STARTED entry stays, and the successor of this process settles it.
      log.error({ err: error, event_id: call.eventId }, "Cannot settle chat");
    }
    observer.onOutcome(call, result, endedAtMs);
    try {
      if (failure !== undefined) sink.fail(head, failure);
      else sink.end(() => sumUsage(attempts.map((attempt) => toAttempt(started, attempt))));
    } catch (cause) {
      // A mistake of ours at the very end: the caller must not wait for ever.
      const error = new WeirError("INTERNAL", "Cannot answer: internal error", { cause });
      log.error({ err: error, event_id: call.eventId }, "Cannot hand over an answer");
      sink.fail(head, { error });
    }
  }

  #refuse(denial: Denial, nowMs: number): WeirError {
    const { accounting, observer } = this.#stations;
    accounting.refused(denial, nowMs);
    observer.onRefusal(denial.reason);
    const { reason, message, facts, retryAfterMs } = denial;
    return new WeirError(reason, message, { facts, ...(retryAfterMs !== undefined && { retryAfterMs }) });
  }

  #toRefusal(error: unknown): WeirError {
    const { observer, log } = this.#stations;
    const known =
      error instanceof WeirError
        ? error
        : new WeirError("INTERNAL", "Cannot start call: internal error", { cause: error });
    if (known.reason === "INTERNAL") log.error({ err: known }, "Chat refused by an error");
    observer.onRefusal(known.reason);
    return known;
  }
}

/** A chat that will leave exactly one outcome. */
interface BegunChat {
  readonly call: ChatCall;
  readonly sink: AnswerSink;
  readonly head: AnswerHead;
  readonly admission: Admission;
  readonly started: StartedCall;
  readonly open: OpenCall;
}

function toStartedCall(call: ChatCall, { caller, plan, limits, pinned }: Admission): StartedCall {
  const { endUser, maxOutputTokens, candidates } = call;
  return {
    eventId: call.eventId,
    // The grant's caller is shared by all its calls.
    caller: endUser === "" ? caller : create(CallerSchema, { ...caller, endUser }),
    operation: Operation.CHAT,
    model: plan.model.id,
    streamed: call.streamed,
    surface: call.surface,
    versions: toVersions(pinned),
    startedAtMs: call.arrivedAtMs,
    limits: limits.map(({ id }) => id),
    candidates: toCandidates(plan),
    targets: plan.candidates.map(({ target }) => target),
    requestBytes: call.requestBytes,
    ...(maxOutputTokens !== undefined && { maxOutputTokens: maxOutputTokens * BigInt(candidates) }),
    answers: candidates,
  };
}

function toVersions(pinned: PinnedPolicy): PinnedVersions {
  let versions = versionsOf.get(pinned);
  if (versions === undefined) {
    const { snapshotVersion, snapshotDigest, keyringVersion } = pinned;
    versions = create(PinnedVersionsSchema, { snapshotVersion, snapshotDigest, keyringVersion });
    versionsOf.set(pinned, versions);
  }
  return versions;
}

/** The same for each chat under one policy. */
const versionsOf = new WeakMap<PinnedPolicy, PinnedVersions>();
