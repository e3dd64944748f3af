import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { REASONS, type Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { type Listed, OpenList } from "../../shared/open-list.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, ChatCall, SinkListener } from "../arrival/call.ts";
import { getCallTimeMs } from "../arrival/call-time.ts";
import type { Standings } from "../ejection/standings.ts";
import { shorten, type Timeouts } from "../routing/timeouts.ts";
import type { Upstreams } from "../routing/upstreams.ts";
import type { RelayWay, TypedWay } from "../routing/way.ts";
import { Attempt, type AttemptListener, type AttemptOptions } from "./attempt.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import { BodyBuffers } from "./body-buffers.ts";
import { type ComposedRequest, type OwnAnswer, RequestComposer } from "./compose.ts";
import { countRequest } from "./count-usage.ts";
import type { Pools } from "./pools.ts";
import { type AttemptResult, NOTHING_USED } from "./result.ts";

/** What all chats of a process share. */
export interface DispatcherOptions extends Omit<AttemptOptions, "buffers"> {
  readonly pools: Pools;
  /** How targets stand: learns from each attempt, and says which target is not to be asked. */
  readonly standings: Standings;
}

interface RunOptions extends DispatcherOptions, AttemptOptions {}

/** A chat that has been planned. */
export interface PlannedChat {
  readonly call: ChatCall;
  readonly sink: AnswerSink;
  /** The targets, in the order of their trial; at least one. None was rejected by `upstreams`. */
  readonly targets: readonly SnapshotTarget[];
  /** Whether the same call, asked again soon, may be led to targets that are not among these. */
  readonly mayLeadElsewhere: boolean;
  readonly upstreams: Upstreams;
  /** The upstreams with the credentials of now, which may have been replaced since the chat was planned. */
  renewUpstreams(): Upstreams;
  /** How long rules let it wait, where they say so: they shorten what its targets allow. */
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** What the answer says about itself, without what the target adds. */
  readonly head: AnswerHead;
  /** Something of it is about to be sent to a target. Throws what forbids it, which ends the chat. */
  beforeSending(): void;
  /** A target is about to be tried; `earlier` are the attempts that have ended. */
  onAttempt(target: SnapshotTarget, startedAtMs: number, earlier: readonly AttemptResult[]): void;
  /** The chat is over. Comes exactly once; the sink still waits for its `end` or `fail`. */
  onDone(result: DispatchResult): void;
}

/** All that happened to a chat after it was planned. */
export interface DispatchResult {
  readonly kind: OutcomeKind;
  readonly reason?: Reason;
  readonly attempts: readonly AttemptResult[];
  /** For the sink, when it was not answered. */
  readonly failure?: AnswerFailure;
  readonly head: AnswerHead;
}

/** Makes the calls of chats to their targets, one after the other until content came. */
export class ChatDispatcher {
  readonly #options: RunOptions;
  readonly #runs = new OpenList<Run>();

  constructor(options: DispatcherOptions) {
    this.#options = { ...options, buffers: new BodyBuffers() };
  }

  /** Chats on their way. */
  get openChats(): number {
    return this.#runs.size;
  }

  /** Begins a chat. `onDone` may come before this returns. */
  dispatch(chat: PlannedChat): void {
    const run = new Run(this.#options, chat, this.#runs);
    this.#runs.add(run);
    run.start();
  }

  /** Ends all chats on their way: each gets its error and its outcome. */
  cutAll(error: WeirError): void {
    for (const run of this.#runs.list()) run.cut(error);
  }
}

/** One chat on its way: tries target after target until content came, then holds on to that one. */
class Run implements AttemptListener, SinkListener, Listed {
  before: Listed | undefined;
  after: Listed | undefined;
  readonly #options: RunOptions;
  readonly #chat: PlannedChat;
  /** All that are on their way; this one leaves them when it is over. */
  readonly #runs: OpenList<Run>;
  readonly #attempts: AttemptResult[] = [];
  #head: AnswerHead;
  readonly #composer: RequestComposer;
  #attempt: Attempt | undefined;
  /** Why a target was passed over, if nothing worse happened. */
  #skipped: AttemptFailure | undefined;
  /** Why the last target that was asked did not answer. */
  #failure: AttemptFailure | undefined;
  /** Whether something that kept a target from answering may pass by itself. */
  #mayPass: boolean;
  #way: RelayWay | TypedWay | undefined;
  #next = 0;
  /** A target that is asked again with another credential than the one that it refused. */
  #renewed: { readonly target: SnapshotTarget; readonly upstreams: Upstreams } | undefined;
  /** When the attempt began, of the monotonic clock. */
  #startedMs = 0;
  #began = false;
  #over = false;
  #retryAfterMs: number | undefined;

  constructor(options: RunOptions, chat: PlannedChat, runs: OpenList<Run>) {
    this.#options = options;
    this.#chat = chat;
    this.#head = chat.head;
    this.#runs = runs;
    this.#mayPass = chat.mayLeadElsewhere;
    this.#composer = new RequestComposer(chat.call, options.buffers);
  }

  start(): void {
    this.#chat.sink.listen(this, this.#head);
    // A caller who is gone already says so within `listen`.
    if (!this.#over) this.#tryNext();
  }

  cut(error: WeirError): void {
    if (this.#attempt === undefined) this.#finish({ error, elsewhere: false, lasts: false });
    else this.#attempt.cancel(error);
  }

  onDrain(): void {
    this.#attempt?.resume();
  }

  onGone(): void {
    this.cut(new WeirError("CALLER_GONE", "Cannot answer: the caller is gone"));
  }

  onSending(): void {
    this.#chat.beforeSending();
  }

  onContent(relayedHeaders: readonly (readonly [string, string])[], inputTokens: number): void {
    const { targets, sink } = this.#chat;
    const target = targets[this.#next - 1]!;
    const { standings } = this.#options;
    if (!standings.isQuiet) {
      standings.noteContent({ target, upstream: this.#getUpstreams(target).get(target) }, this.#startedMs);
    }
    this.#began = true;
    this.#composer.release();
    this.#head = { ...this.#head, target: target.id, way: this.#way!, relayedHeaders, inputTokens };
    sink.begin(this.#head);
  }

  onBytes(bytes: Buffer): boolean {
    return this.#chat.sink.write(bytes);
  }

  onEnd(result: AttemptResult, failure?: AttemptFailure): void {
    this.#attempt = undefined;
    this.#attempts.push(result);
    const { targets } = this.#chat;
    if (failure !== undefined && this.#renewCredential(result)) {
      this.#next -= 1;
      this.#tryNext();
      return;
    }
    this.#noteEnd(result.target, failure);
    if (failure === undefined) {
      this.#finish();
      return;
    }
    const { retryAfterMs } = failure.error;
    this.#failure = failure;
    if (!failure.lasts) this.#mayPass = true;
    if (retryAfterMs !== undefined) this.#retryAfterMs = Math.min(this.#retryAfterMs ?? retryAfterMs, retryAfterMs);
    // Nothing is tried elsewhere once content went out: the caller would get the beginning twice.
    if (failure.elsewhere && !this.#began && this.#next < targets.length) this.#tryNext();
    else this.#finish(failure);
  }

  /**
   * Whether a provider refused a credential that was replaced while the chat was on its way: it is asked again with the new one, once. So a
   * credential can be replaced at a provider that refuses the old one at once.
   */
  #renewCredential({ target, providerStatus }: AttemptResult): boolean {
    if ((providerStatus !== 401 && providerStatus !== 403) || this.#renewed?.target === target) return false;
    const upstreams = this.#chat.renewUpstreams();
    if (upstreams.findRejection(target) !== undefined) return false;
    if (upstreams.get(target).secret === this.#chat.upstreams.get(target).secret) return false;
    this.#renewed = { target, upstreams };
    return true;
  }

  #getUpstreams(target: SnapshotTarget): Upstreams {
    return this.#renewed?.target === target ? this.#renewed.upstreams : this.#chat.upstreams;
  }

  #noteEnd(target: SnapshotTarget, failure: AttemptFailure | undefined): void {
    const { standings } = this.#options;
    // As nearly all attempts end.
    if (standings.isQuiet && failure?.fault === undefined) return;
    const { call } = this.#chat;
    standings.noteEnd(
      { target, upstream: this.#getUpstreams(target).get(target) },
      {
        eventId: call.eventId,
        startedMs: this.#startedMs,
        isAnswered: failure === undefined,
        fault: failure?.fault,
        retryAfterMs: failure?.error.retryAfterMs,
      },
    );
  }

  /** Targets may have been ejected since the chat was planned. */
  #findWait(target: SnapshotTarget): number | undefined {
    const { call, targets } = this.#chat;
    return this.#options.standings.findWait(target, {
      eventId: call.eventId,
      hasOther: this.#next < targets.length,
    });
  }

  #skip(target: SnapshotTarget, error: WeirError, startedAtMs: number): void {
    this.#attempts.push(skip(target, error, startedAtMs));
    const lasts = !REASONS[error.reason].retry;
    this.#skipped = { error, elsewhere: true, lasts };
    if (!lasts) this.#mayPass = true;
  }

  /** Tries the next target that can be asked at all. */
  #tryNext(): void {
    const { call, targets } = this.#chat;
    const { pools, clock, standings } = this.#options;
    while (this.#next < targets.length) {
      const target = targets[this.#next]!;
      this.#next += 1;
      const startedAtMs = getCallTimeMs(call, clock);
      const waitMs = standings.isQuiet ? undefined : this.#findWait(target);
      if (waitMs !== undefined) {
        this.#skip(target, toEjected(target, waitMs), startedAtMs);
        continue;
      }
      const upstreams = this.#getUpstreams(target);
      const upstream = upstreams.get(target);
      let request: ComposedRequest | OwnAnswer;
      try {
        request = this.#composer.compose(target, upstream);
      } catch (thrown) {
        const error = thrown as WeirError;
        this.#skip(target, error, startedAtMs);
        // Another target may read another format; a mistake of ours would be the same there.
        if (error.reason === "ARGUMENT_INVALID") continue;
        break;
      }
      if ("answer" in request) {
        this.#answerItself(target, startedAtMs, request);
        return;
      }
      const { way, body, dropped } = request;
      this.#way = way;
      this.#head = toHead(this.#head, dropped);
      this.#chat.onAttempt(target, startedAtMs, this.#attempts);
      const allowed = upstreams.getTimeouts(target);
      const timeouts = shorten(shorten(allowed, this.#chat.timeouts), call.timeouts);
      if (!standings.isQuiet) standings.begin(target, call.eventId);
      this.#startedMs = clock.monotonicMs();
      this.#attempt = new Attempt(this.#options, { call, target, upstream, way, timeouts, allowed, startedAtMs }, this);
      this.#attempt.start(pools.get(upstream), body);
      return;
    }
    // What a target said or did tells the caller more than that another one could not be asked.
    this.#finish(this.#failure ?? this.#skipped);
  }

  /** Answers without asking the target, which costs nothing. */
  #answerItself(target: SnapshotTarget, startedAtMs: number, { answer, body }: OwnAnswer): void {
    const { sink } = this.#chat;
    this.#chat.onAttempt(target, startedAtMs, this.#attempts);
    countRequest(this.#options, body, (inputTokens) => {
      // The caller may be gone by now.
      if (this.#over) return;
      this.#began = true;
      this.#composer.release();
      this.#head = { ...toHead(this.#head, undefined), target: target.id };
      sink.begin(this.#head);
      sink.write(answer(inputTokens));
      const endedAtMs = getCallTimeMs(this.#chat.call, this.#options.clock);
      const outcome = OutcomeKind.ANSWERED;
      this.#attempts.push({ target, startedAtMs, endedAtMs, outcome, providerStatus: 0, usage: NOTHING_USED });
      this.#finish();
    });
  }

  #finish(failure?: AttemptFailure): void {
    if (this.#over) return;
    this.#over = true;
    this.#runs.remove(this);
    const last = this.#attempts.findLast(({ isSkipped }) => isSkipped !== true);
    if (failure === undefined) {
      this.#chat.onDone({ kind: OutcomeKind.ANSWERED, attempts: this.#attempts, head: this.#head });
      return;
    }
    const error = this.#withRetryAfter(failure.error);
    this.#chat.onDone({
      kind: toKind(failure.error.reason, this.#began),
      reason: error.reason,
      attempts: this.#attempts,
      head: this.#toFailedHead(failure, last),
      failure: {
        error,
        // A retry would go the same way only if each target that it may be led to would say the same.
        lasts: failure.lasts && !this.#mayPass,
        ...(failure.said && { said: failure.said }),
        ...(failure.status !== undefined && { status: failure.status }),
      },
    });
  }

  /** A target that refused or failed has answered too; one that was never reached has not. */
  #toFailedHead({ relayedHeaders }: AttemptFailure, last: AttemptResult | undefined): AnswerHead {
    if (last === undefined || last.providerStatus === 0) return this.#head;
    return { ...this.#head, target: last.target.id, ...(relayedHeaders !== undefined && { relayedHeaders }) };
  }

  /** When several targets said when to come back, the soonest counts. */
  #withRetryAfter(error: WeirError): WeirError {
    if (this.#began || this.#retryAfterMs === undefined || this.#retryAfterMs === error.retryAfterMs) return error;
    const { reason, message, facts, violations, cause } = error;
    return new WeirError(reason, message, { facts, violations, cause, retryAfterMs: this.#retryAfterMs });
  }
}

function toEjected({ id: target }: SnapshotTarget, waitMs: number): WeirError {
  const retryAfterMs = Math.ceil(waitMs);
  return new WeirError(
    "TARGET_EJECTED",
    `Cannot answer: the target is out of rotation for the next ${retryAfterMs} ms`,
    {
      facts: { target, retry_after_ms: String(retryAfterMs) },
      retryAfterMs,
    },
  );
}

/** An attempt at a target that was never called: it costs nothing. */
function skip(target: SnapshotTarget, error: WeirError, nowMs: number): AttemptResult {
  return {
    target,
    startedAtMs: nowMs,
    endedAtMs: nowMs,
    outcome: OutcomeKind.FAILED,
    reason: error.reason,
    providerStatus: 0,
    error,
    usage: NOTHING_USED,
    isSkipped: true,
  };
}

/** The head for a target: what was dropped for an earlier one is no news. */
function toHead(head: AnswerHead, dropped: readonly string[] | undefined): AnswerHead {
  if (dropped !== undefined) return { ...head, dropped };
  if (head.dropped === undefined) return head;
  const { dropped: _, ...rest } = head;
  return rest;
}

function toKind(reason: Reason, began: boolean): OutcomeKind {
  if (reason === "CALLER_GONE" || reason === "DEADLINE_EXCEEDED") return OutcomeKind.CANCELLED;
  return began ? OutcomeKind.CUT : OutcomeKind.FAILED;
}
