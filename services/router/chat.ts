import type { Model } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { Snapshot, SnapshotTarget } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { listModels } from "../shared/decision/decide.ts";
import type { Plan, RankedTarget } from "../shared/decision/plan.ts";
import type { RuleTimeouts } from "../shared/decision/planned-rule.ts";
import { REASONS } from "../shared/errors/reason.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import type { PinnedPolicy } from "../shared/snapshot/hold.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Accounting, CallListener, OpenCall } from "./accounting/accounting.ts";
import { toAttempt } from "./accounting/attempts.ts";
import type { StartedCall } from "./accounting/started-call.ts";
import type { Admission, Denial } from "./admission/admission.ts";
import { admit, identify } from "./admission/admit.ts";
import type { LimitCounters } from "./admission/counters.ts";
import type { CallerHeaders } from "./admission/credentials.ts";
import type { AnswerHead, AnswerSink, ChatCall, Greeting } from "./arrival/call.ts";
import { getCallTimeMs } from "./arrival/call-time.ts";
import { capOutput } from "./arrival/cap-output.ts";
import { listOfferedTools } from "./arrival/offered-tools.ts";
import type { ChatDispatcher, DispatchResult, PlannedChat } from "./dispatch/dispatch.ts";
import type { AttemptResult } from "./dispatch/result.ts";
import type { Standings } from "./ejection/standings.ts";
import { keepBound } from "./routing/keep-bound.ts";
import type { UpstreamBook } from "./routing/upstream-book.ts";
import type { Upstreams } from "./routing/upstreams.ts";
import { toStartedCall } from "./started.ts";
import { sumUsage } from "./usage-sum.ts";

/** The stations of a chat. */
export interface ChatStations {
  /** What the region runs now; undefined until a snapshot and a keyring have verified. */
  readonly current: () => PinnedPolicy | undefined;
  /** For how long policy has not confirmed the keyring, in milliseconds: asked for keys of the strict class only. */
  readonly getKeyringAgeMs: () => number;
  readonly counters: LimitCounters;
  readonly upstreams: UpstreamBook;
  readonly standings: Standings;
  readonly accounting: Accounting;
  readonly dispatcher: ChatDispatcher;
  readonly observer: ChatObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** Hears of chats, for metrics. Must not throw. */
export interface ChatObserver {
  onRefusal(reason: string): void;
  /** The conditions of these rules had no answer for a call. */
  onRulesFailed(rules: readonly string[]): void;
  /** The first provider of a call is about to be asked, at this instant of the monotonic clock. */
  onAsked(call: ChatCall, askedMonotonicMs: number): void;
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
    const { eventId } = call;
    try {
      const pinned = this.#pin();
      const { snapshotVersion, keyringVersion } = pinned;
      const head: AnswerHead = { eventId, snapshotVersion, keyringVersion };
      const admission = this.#admit(call, pinned);
      const { rules } = admission.kind === "denial" ? admission : admission.plan;
      if (rules !== undefined && rules.failed.length > 0) this.#stations.observer.onRulesFailed(rules.failed);
      if (admission.kind === "denial") {
        sink.fail(head, { error: this.#refuse(admission, call.arrivedAtMs) });
        return;
      }
      const capped = rules?.outputCap === undefined ? call : capOutput(call, rules.outputCap);
      const started = toStartedCall(call, capped, admission);
      const refuse = (error: WeirError) => sink.fail({ eventId }, { error: this.#toRefusal(error) });
      new BegunChat(this.#stations, { call: capped, sink, head, admission, started, refuse }).begin();
    } catch (error) {
      // Nothing has begun: no snapshot, no room in the spool, or a mistake of ours.
      sink.fail({ eventId }, { error: this.#toRefusal(error) });
    }
  }

  /** Looks at a caller before anything of a chat is there. Returns what is wrong, and has counted it. Never throws. */
  greet(headers: CallerHeaders): Greeting | WeirError {
    try {
      const { clock, getKeyringAgeMs } = this.#stations;
      const nowMs = clock.nowMs();
      const pinned = this.#pin();
      const proven = identify(pinned, { headers, nowMs, getKeyringAgeMs });
      return proven.kind === "denial" ? this.#refuse(proven, nowMs) : { pinned, proven };
    } catch (error) {
      return this.#toRefusal(error);
    }
  }

  /** The models that a caller may ask for. Throws what is wrong with the caller, and counts it. */
  listModels(headers: CallerHeaders): Model[] {
    const { clock, getKeyringAgeMs } = this.#stations;
    const nowMs = clock.nowMs();
    let pinned: PinnedPolicy;
    try {
      pinned = this.#pin();
    } catch (error) {
      throw this.#toRefusal(error);
    }
    const proven = identify(pinned, { headers, nowMs, getKeyringAgeMs });
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

  #admit(call: ChatCall, pinned: PinnedPolicy): Admission | Denial {
    const { headers, model, eventId, greeting, request } = call;
    const { counters, upstreams, standings, clock, getKeyringAgeMs } = this.#stations;
    const nowMs = clock.nowMs();
    // A keyring that came while the body was read counts.
    const proven = greeting.pinned === pinned ? greeting.proven : identify(pinned, { headers, nowMs, getKeyringAgeMs });
    if (proven.kind === "denial") return proven;
    const reached = upstreams.get(pinned.snapshot);
    return admit(pinned, counters, {
      model,
      eventId,
      nowMs,
      proven,
      asked: call,
      listTools: () => listOfferedTools(request),
      findRejection: reached.findRejection,
      narrow: standings.isQuiet ? undefined : (plan) => standings.sift(keepCandidates(plan, call, reached)),
    });
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

/** What a chat has in hand once it has begun. */
interface Beginning {
  readonly call: ChatCall;
  readonly sink: AnswerSink;
  readonly head: AnswerHead;
  readonly admission: Admission;
  readonly started: StartedCall;
  /** Answers when it could not begin after all. */
  readonly refuse: (error: WeirError) => void;
}

/**
 * A chat from `begin` on: dispatch, account, answer. It leaves exactly one outcome; whatever comes after that finds it over. Its entries
 * are written with those of the other chats of a turn: the first before anything of it is sent, the last before its answer ends.
 */
class BegunChat implements PlannedChat, CallListener {
  readonly call: ChatCall;
  readonly sink: AnswerSink;
  readonly head: AnswerHead;
  readonly targets: readonly SnapshotTarget[];
  readonly mayLeadElsewhere: boolean;
  readonly upstreams: Upstreams;
  readonly #snapshot: Snapshot;
  readonly timeouts: RuleTimeouts | undefined;
  readonly #stations: ChatStations;
  readonly #started: StartedCall;
  readonly #refuse: (error: WeirError) => void;
  #open: OpenCall | undefined;
  /** The disk did not take that it begins, and its caller knows. */
  #isRefused = false;
  /** Set once it is over. */
  #result: DispatchResult | undefined;

  constructor(stations: ChatStations, { call, sink, head, admission, started, refuse }: Beginning) {
    this.call = call;
    this.sink = sink;
    this.head = head;
    this.#snapshot = admission.pinned.snapshot;
    this.upstreams = stations.upstreams.get(this.#snapshot);
    const { targets, mayLeadElsewhere } = chooseTargets(admission.plan, call, this.upstreams);
    this.targets = targets;
    this.mayLeadElsewhere = mayLeadElsewhere;
    this.timeouts = admission.plan.rules?.timeouts;
    this.#stations = stations;
    this.#started = started;
    this.#refuse = refuse;
  }

  /** Throws SPOOL_FULL. */
  begin(): void {
    const { accounting, standings } = this.#stations;
    this.#open = accounting.begin(this.#started, this);
    const [first] = this.targets;
    if (!standings.isQuiet && first !== undefined) standings.claim(first, this.call.eventId);
    this.#dispatch();
  }

  /** It could not begin after all, and nothing of it is sent. One that is over already answers with its outcome. */
  onRefused(error: WeirError): void {
    if (this.#result !== undefined) return;
    this.#isRefused = true;
    this.#refuse(error);
  }

  beforeSending(): void {
    this.#open?.ensureBegun();
  }

  /** Hands the chat to its targets. Its outcome may be there before this returns. */
  #dispatch(): void {
    if (this.targets.length === 0) {
      const { model } = this.call;
      const message = `Cannot start call: no target of model "${model}" can be used now`;
      this.#fail(new WeirError("NO_TARGET", message, { facts: { model } }));
      return;
    }
    try {
      this.#stations.dispatcher.dispatch(this);
    } catch (cause) {
      const error = new WeirError("INTERNAL", "Cannot answer: internal error", { cause });
      this.#stations.log.error({ err: error, event_id: this.call.eventId }, "Chat failed");
      this.#fail(error);
    }
  }

  renewUpstreams(): Upstreams {
    return this.#stations.upstreams.renew(this.#snapshot);
  }

  onAttempt(target: SnapshotTarget, startedAtMs: number, earlier: readonly AttemptResult[]): void {
    const { observer, clock } = this.#stations;
    if (earlier.every(isSkipped)) observer.onAsked(this.call, clock.monotonicMs());
    this.#open?.attemptStarted(target, startedAtMs, earlier);
  }

  /** Accounts first, answers then: an answer that is whole has its usage in the spool. */
  onDone(result: DispatchResult): void {
    if (this.#result !== undefined || this.#isRefused) return;
    this.#result = result;
    const endedAtMs = getCallTimeMs(this.call, this.#stations.clock);
    const isTaken = this.#settle(result, endedAtMs);
    this.#stations.observer.onOutcome(this.call, result, endedAtMs);
    this.#tellDropped(result);
    if (!isTaken) this.#answer(result);
  }

  onSettled(): void {
    if (this.#result !== undefined) this.#answer(this.#result);
  }

  #tellDropped({ head: { dropped, target } }: DispatchResult): void {
    if (dropped === undefined) return;
    const event_id = this.call.eventId;
    this.#stations.log.debug({ event_id, target, dropped }, "Left out what a target can't be told");
  }

  #fail(error: WeirError): void {
    const { head } = this;
    this.onDone({ kind: OutcomeKind.FAILED, reason: error.reason, attempts: [], head, failure: { error } });
  }

  /** False when that can't be done: then nobody says when the answer may end. */
  #settle({ kind, reason, attempts }: DispatchResult, endedAtMs: number): boolean {
    try {
      this.#open?.settle(reason === undefined ? { kind, endedAtMs, attempts } : { kind, reason, endedAtMs, attempts });
      return true;
    } catch (error) {
      // Its STARTED entry stays, and the successor of this process settles it.
      this.#stations.log.error({ err: error, event_id: this.call.eventId }, "Cannot settle chat");
      return false;
    }
  }

  #answer({ attempts, head, failure }: DispatchResult): void {
    const { sink } = this;
    try {
      if (failure !== undefined) sink.fail(head, failure);
      else sink.end(() => sumUsage(attempts.map((attempt) => toAttempt(this.#started, attempt))));
    } catch (cause) {
      // A mistake of ours at the very end: the caller must not wait for ever.
      const error = new WeirError("INTERNAL", "Cannot answer: internal error", { cause });
      this.#stations.log.error({ err: error, event_id: this.call.eventId }, "Cannot hand over an answer");
      sink.fail(head, { error });
    }
  }
}

function isSkipped(attempt: AttemptResult): boolean {
  return attempt.isSkipped === true;
}

function toTarget({ target }: RankedTarget): SnapshotTarget {
  return target;
}

/**
 * The targets that are asked, in their order: of a call that is bound to some those, and one only where the caller wants no more. And whether
 * the same call may be led to others when it is asked again: by another draw, or when what rejected one has passed.
 */
function chooseTargets({ candidates, rejected }: Plan, { request, fallback }: ChatCall, upstreams: Upstreams) {
  const led = keepBound(candidates.map(toTarget), request, upstreams);
  const targets = fallback === "none" ? led.slice(0, 1) : led;
  const mayLeadElsewhere = led.length > targets.length || rejected.some(({ reason }) => REASONS[reason].retry);
  return { targets, mayLeadElsewhere };
}

/** A plan with those candidates alone to which a call is bound: whatever happens to them, nobody else holds what it names. */
function keepCandidates(plan: Plan, { request }: ChatCall, upstreams: Upstreams): Plan {
  if (request.format === undefined || request.isBound !== true) return plan;
  const targets = keepBound(plan.candidates.map(toTarget), request, upstreams);
  return { ...plan, candidates: plan.candidates.filter(({ target }) => targets.includes(target)) };
}
