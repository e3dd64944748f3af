import type { Dispatcher } from "undici";
import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import type { Listed } from "../../shared/open-list.ts";
import type { BodyMemory } from "../arrival/body-memory.ts";
import type { ChatCall } from "../arrival/call.ts";
import { getCallTimeMs } from "../arrival/call-time.ts";
import type { TokenCounter } from "../counting/token-counter.ts";
import type { ProviderFailure, Quantities, StreamReader } from "../providers/dialect.ts";
import { KeptText } from "../providers/kept-text.ts";
import type { Timeouts } from "../routing/timeouts.ts";
import type { Upstream } from "../routing/upstreams.ts";
import type { RelayWay, TypedWay } from "../routing/way.ts";
import { pickAnswerHeaders } from "./answer-headers.ts";
import {
  type AttemptFailure,
  type FailedTarget,
  relayFailure,
  type StatedFailure,
  stateFailure,
} from "./attempt-failure.ts";
import type { BodyBuffers } from "./body-buffers.ts";
import { countUsage, estimateTokens, type UnmeasuredCall } from "./count-usage.ts";
import type { Pool, PooledCall } from "./pool.ts";
import { type AttemptResult, type MeasuredUsage, NOTHING_USED } from "./result.ts";
import type { DeadlineSweep, Watched } from "./sweep.ts";
import { keepAnswerText } from "./text-of.ts";

/** What all attempts of a process share. */
export interface AttemptOptions {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly memory: BodyMemory;
  /** Counts tokens that a provider does not tell. */
  readonly counter: TokenCounter;
  /** Where the requests' bodies are given back to. */
  readonly buffers: BodyBuffers;
  /** Largest answer that is taken, in bytes. */
  readonly answerLimitBytes: number;
}

/** Who is tried for whom. */
export interface Trial {
  readonly call: ChatCall;
  readonly target: SnapshotTarget;
  readonly upstream: Upstream;
  /** How it is asked. */
  readonly way: RelayWay | TypedWay;
  readonly timeouts: Timeouts;
  /** The same as the policy has them: a caller who waits less than that learns nothing of the target. */
  readonly allowed: Timeouts;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
}

/** Hears of an attempt. `onEnd` comes last and exactly once; it may come a while after the rest, since tokens may have to be counted. */
export interface AttemptListener {
  /** There is a connection, and the request is about to be sent. Throws what forbids it. */
  onSending(): void;
  /** The first content is there: the answer is this target's. `inputTokens` as far as a translated answer must tell them now. */
  onContent(relayedHeaders: readonly (readonly [string, string])[], inputTokens: number): void;
  /** Part of the answer. False to be paused until `resume`. */
  onBytes(bytes: Buffer): boolean;
  onEnd(result: AttemptResult, failure?: AttemptFailure): void;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Most of the body of an answer that is no 200 that is read. */
const REFUSAL_BYTES = 64 * 1024;
const NO_HEADERS: Headers = {};
const NO_BYTES = Buffer.alloc(0);

/**
 * One call to one target, from the moment it is handed to the pool to its end. Its states, what the deadline is in each, and what is left
 * if the process dies in it:
 *
 * - *connecting*: waits for a connection; the connect timeout. Nothing has been sent, so nothing can be billed. Dies: the spool says only
 *   that the target was about to be asked, so the successor bills the bound.
 * - *asked*: the request is on its way; the first token timeout, which goes on while headers and preamble come. Dies: the bound, since
 *   the provider may have worked.
 * - *answering*: content came and goes on to the caller; the idle timeout, begun anew with each event that has data
 *   (comments do not count: a server that only says it lives is idle). While the caller reads slower than the provider
 *   writes, only the total timeout runs. Dies: the caller's answer breaks off, and the bound, since what came was in memory only.
 * - *over*: exactly one `onEnd` was said, or will be once tokens are counted that the provider did not tell, which ends within two
 *   seconds and can't be cut short by the caller; whatever the connection still brings is dropped. Dies: as in the state before, until
 *   what `onEnd` leads to is in the spool, which is the outcome or the entry of the next attempt.
 *
 * The total timeout of the whole chat cuts through all of them. What is read depends on how the provider began to answer: a stream is
 * relayed by its reader, an answer in one piece is collected within the memory for bodies, and of what is no 200 some 64 KiB
 * are kept for its refusal.
 */
export class Attempt implements PooledCall, Watched {
  readonly #options: AttemptOptions;
  readonly #trial: Trial;
  readonly #listener: AttemptListener;
  readonly #totalDeadlineMs: number;
  /** The request's body, until it is over. The client library holds on to it as long. */
  #body: Buffer = NO_BYTES;
  #state: "connecting" | "asked" | "answering" | "over" = "connecting";
  #controller: Dispatcher.DispatchController | undefined;
  /** Whether it had to wait for another call's connection to become free. */
  #waited = false;
  #status = 0;
  /** Of the answer; let go of once those that go on are picked. */
  #headers = NO_HEADERS;
  #reader: StreamReader | undefined;
  /** What is kept of a streamed answer's text. */
  #text: KeptText | undefined;
  /** The parts of an answer in one piece. */
  #collected: Buffer[] | undefined;
  #collectedBytes = 0;
  #receivedBytes = 0;
  #events = 0;
  #firstContentAtMs: number | undefined;
  #paused = false;
  deadlineMs: number;
  before: Listed | undefined;
  after: Listed | undefined;

  constructor(options: AttemptOptions, trial: Trial, listener: AttemptListener) {
    const { call, timeouts } = trial;
    this.#options = options;
    this.#trial = trial;
    this.#listener = listener;
    this.#totalDeadlineMs = Math.min(
      call.arrivedMonotonicMs + timeouts.totalMs,
      call.deadlineMonotonicMs ?? Number.POSITIVE_INFINITY,
    );
    this.deadlineMs = this.#until(timeouts.connectMs);
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Hands the request to the pool. `onEnd` may come before this returns. */
  start(pool: Pool, body: Buffer): void {
    const { call, target, way } = this.#trial;
    this.#body = body;
    this.#options.sweep.add(this);
    try {
      const path = way.getPath(target.model, call.streamed);
      const headers = this.#listHeaders(path, body) as string[];
      this.#waited = pool.dispatch({ path, method: "POST", headers, body }, this);
    } catch (cause) {
      // What the client library refuses, such as an origin that is none.
      const state = "the request can't be sent";
      this.#fail({ reason: "PROVIDER_FAILED", state, elsewhere: true, fault: "caller", cause });
    }
  }

  #listHeaders(path: string, body: Buffer): readonly string[] {
    const { call, upstream, way } = this.#trial;
    const { origin, settings, secret } = upstream;
    const common = call.streamed ? way.streamHeaders : way.headers;
    const sign = secret === "" ? undefined : upstream.dialect.sign;
    const signed =
      sign === undefined
        ? common
        : [...common, ...sign({ origin, path, body, settings, nowMs: this.#options.clock.nowMs() }, secret)];
    // What a caller says to the provider in headers is said in its format: it means nothing to another.
    return way.kind === "typed" || call.relayedHeaders.length === 0
      ? signed
      : mergeHeaders(signed, call.relayedHeaders);
  }

  /** Ends the attempt for a reason of the caller or of this process; the provider's connection is cut. */
  cancel(error: WeirError): void {
    this.#end({ error, elsewhere: false, lasts: false });
  }

  /** The caller has caught up. */
  resume(): void {
    if (!this.#paused || this.#state === "over") return;
    this.#paused = false;
    this.deadlineMs = this.#until(this.#trial.timeouts.idleMs);
    this.#controller?.resume();
  }

  onDeadline(): void {
    const { call, timeouts } = this.#trial;
    if (this.#options.clock.monotonicMs() < this.#totalDeadlineMs) {
      const [timeout, limitMs, state, fault] = this.#describeTimeout();
      const facts = { timeout, limit_ms: String(limitMs) };
      this.#fail({ reason: "PROVIDER_TIMEOUT", state: `${state} within ${limitMs} ms`, elsewhere: true, fault, facts });
    } else if (this.#totalDeadlineMs === call.deadlineMonotonicMs) {
      this.#fail({ reason: "DEADLINE_EXCEEDED", state: "the caller's deadline has passed", elsewhere: false });
    } else {
      const limitMs = timeouts.totalMs;
      const facts = { timeout: "total", limit_ms: String(limitMs) };
      this.#fail({ reason: "TIMEOUT", state: `the chat took longer than ${limitMs} ms`, elsewhere: false, facts });
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === "over") return void controller.abort(new Error("the attempt is over"));
    // Nobody waits for the answer any longer, which costs all the same.
    if (this.#options.clock.monotonicMs() >= this.#totalDeadlineMs) return void this.onDeadline();
    try {
      this.#listener.onSending();
    } catch (error) {
      this.cancel(error as WeirError);
      return;
    }
    this.#state = "asked";
    this.deadlineMs = this.#until(this.#trial.timeouts.firstTokenMs);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (this.#state === "over" || status < 200) return;
    this.#status = status;
    this.#headers = headers;
    if (status !== 200) return;
    const { call, way } = this.#trial;
    const { streamed } = call;
    const encoding = headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      this.#failAs("the provider's answer is compressed, though none was asked for");
      return;
    }
    const length = headers["content-length"];
    if (length !== undefined && Number(length) > this.#options.answerLimitBytes) {
      this.#failAsTooLarge();
      return;
    }
    if (isOfType(headers["content-type"], way.format.streamType) !== streamed) {
      this.#failAs(`the provider's answer is ${streamed ? "no stream" : "a stream"}, against what was asked for`);
      return;
    }
    if (streamed) {
      const { request } = call;
      this.#text = new KeptText(this.#options.memory);
      this.#reader = way.format.createStreamReader({
        // Where the answer is written anew, the writer says what the caller gets to see.
        wantsUsage: request.format !== way.format.format || request.wantsUsage,
        candidates: call.candidates,
        text: this.#text,
      });
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state === "over") return;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#options.answerLimitBytes) {
      this.#failAsTooLarge();
      return;
    }
    const reader = this.#reader;
    if (reader === undefined) {
      this.#collect(chunk);
      return;
    }
    this.#relay(reader.read(chunk), reader);
    this.#afterReading(reader, controller);
  }

  onResponseEnd(_controller?: unknown, _trailers?: unknown, isSent = false): void {
    if (this.#state !== "over") this.#endReading();
    // A stream's is of its own memory.
    if (isSent) this.#options.buffers.give(this.#body);
    this.#body = NO_BYTES;
  }

  #endReading(): void {
    const reader = this.#reader;
    if (this.#status !== 200) {
      this.#endRefused();
      return;
    }
    if (reader === undefined) {
      this.#endAnswered();
      return;
    }
    this.#relay(reader.end(), reader);
    if (reader.failure !== undefined) {
      this.#failFromProvider(reader.failure);
      return;
    }
    if (!reader.isComplete) {
      this.#failAs("the provider's stream ended before the answer did");
      return;
    }
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    if (this.#state === "over") return;
    if ((cause as NodeJS.ErrnoException).code === "UND_ERR_CONNECT_TIMEOUT") {
      this.onDeadline();
      return;
    }
    const stated: Pick<StatedFailure, "state" | "fault"> =
      this.#state === "connecting"
        ? { state: "no connection to the provider", fault: "unreachable" }
        : { state: "the connection to the provider broke" };
    this.#fail({ reason: "PROVIDER_FAILED", elsewhere: true, cause, ...stated });
  }

  #relay(bytes: Buffer | undefined, reader: StreamReader): void {
    if (bytes === undefined || this.#state === "over") return;
    if (this.#state === "asked" && reader.hasContent) this.#begin(this.#getTimeMs());
    this.#paused = !this.#hand(bytes);
  }

  /** Hands on a part of the answer. What can't be translated breaks it off. */
  #hand(bytes: Buffer): boolean {
    try {
      return this.#listener.onBytes(bytes);
    } catch (cause) {
      const state = "the provider's answer can't be understood";
      this.#fail({ reason: "PROVIDER_FAILED", state, elsewhere: false, cause });
      return true;
    }
  }

  #begin(nowMs: number): void {
    this.#state = "answering";
    this.#firstContentAtMs = nowMs;
    const { upstream, way, call } = this.#trial;
    const relayed = pickAnswerHeaders(this.#headers, upstream.dialect, way.kind);
    this.#headers = NO_HEADERS;
    this.#listener.onContent(relayed, way.kind === "relay" ? 0 : this.#findInput(call.requestBytes));
  }

  /** Tokens of the request: as the provider said them before its first content, else estimated, since content waits for no count. */
  #findInput(requestBytes: number): number {
    const quantities = this.#reader?.quantities;
    return quantities === undefined ? estimateTokens(requestBytes) : sumInput(quantities);
  }

  #afterReading(reader: StreamReader, controller: Dispatcher.DispatchController): void {
    // The caller may have left while it was written to.
    if ((this.#state as string) === "over") return;
    if (reader.failure !== undefined) {
      this.#failFromProvider(reader.failure);
      return;
    }
    if (this.#state !== "answering") return;
    if (this.#paused) {
      this.deadlineMs = this.#totalDeadlineMs;
      controller.pause();
    } else if (reader.events !== this.#events) {
      this.#events = reader.events;
      this.deadlineMs = this.#until(this.#trial.timeouts.idleMs);
    }
  }

  #collect(chunk: Buffer): void {
    if (this.#status !== 200) {
      if (this.#collectedBytes >= REFUSAL_BYTES) {
        this.#endRefused();
        return;
      }
    } else {
      try {
        this.#options.memory.take(chunk.length);
      } catch (error) {
        this.#end({ error: error as WeirError, elsewhere: false, lasts: false });
        return;
      }
    }
    if (this.#collected === undefined) this.#collected = [chunk];
    else this.#collected.push(chunk);
    this.#collectedBytes += chunk.length;
    // An answer in one piece comes when it is complete; between its parts the idle timeout runs.
    if (this.#status === 200) this.deadlineMs = this.#until(this.#trial.timeouts.idleMs);
  }

  #endAnswered(): void {
    const body = this.#joinCollected();
    const { failure, quantities, textBytes } = this.#trial.way.format.readAnswer(body);
    if (failure !== undefined) {
      this.#failFromProvider(failure);
      return;
    }
    const nowMs = this.#getTimeMs();
    this.#begin(nowMs);
    this.#hand(body);
    if ((this.#state as string) === "over") return;
    if (quantities === undefined) {
      this.#end(undefined, { answer: keepAnswerText(body, this.#options.memory), textBytes }, nowMs);
    } else {
      this.#end(undefined, { source: UsageSource.PROVIDER, quantities }, nowMs);
    }
  }

  #endRefused(): void {
    const failure = this.#trial.way.format.readRefusal({
      status: this.#status,
      headers: this.#headers,
      body: this.#joinCollected(),
      nowMs: this.#options.clock.nowMs(),
    });
    this.#failFromProvider(failure);
  }

  #joinCollected(): Buffer {
    const parts = this.#collected ?? [];
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #failFromProvider(failure: ProviderFailure): void {
    const { upstream, way } = this.#trial;
    const relayed = relayFailure(this.#describeTarget(), failure, way.kind);
    // With a refusal clients want to know of limits, as with an answer.
    const isRefused = this.#status !== 200 && this.#status !== 0;
    const relayedHeaders = isRefused ? pickAnswerHeaders(this.#headers, upstream.dialect, way.kind) : [];
    this.#end(relayedHeaders.length === 0 ? relayed : { ...relayed, relayedHeaders });
  }

  #failAs(state: string): void {
    this.#fail({ reason: "PROVIDER_FAILED", state, elsewhere: true });
  }

  #failAsTooLarge(): void {
    const state = `the provider's answer is larger than ${this.#options.answerLimitBytes} bytes`;
    this.#fail({ reason: "PROVIDER_FAILED", state, elsewhere: true, fault: "caller" });
  }

  #fail(stated: StatedFailure): void {
    this.#end(stateFailure(this.#describeTarget(), stated));
  }

  #describeTarget(): FailedTarget {
    const { target, upstream } = this.#trial;
    const hadContent = this.#state === "answering";
    return { id: target.id, hideSecret: upstream.hideSecret, status: this.#status, hadContent };
  }

  #describeTimeout(): readonly [timeout: string, limitMs: number, state: string, fault: StatedFailure["fault"]] {
    const { timeouts, allowed } = this.#trial;
    const { connectMs, firstTokenMs, idleMs } = timeouts;
    if (this.#state === "connecting") {
      // Who waits for a free connection waits for this router.
      const isOurs = connectMs < allowed.connectMs || this.#waited;
      return ["connect", connectMs, "no connection to the provider", isOurs ? "caller" : "unreachable"];
    }
    if (this.#state === "answering" || (this.#collectedBytes > 0 && this.#status === 200)) {
      return ["idle", idleMs, "the provider sent nothing more", idleMs < allowed.idleMs ? "caller" : "failed"];
    }
    const fault = firstTokenMs < allowed.firstTokenMs ? "caller" : "failed";
    return ["first_token", firstTokenMs, "the provider sent no content", fault];
  }

  #until(timeoutMs: number): number {
    return Math.min(this.#options.clock.monotonicMs() + timeoutMs, this.#totalDeadlineMs);
  }

  #getTimeMs(): number {
    return getCallTimeMs(this.#trial.call, this.#options.clock);
  }

  #end(failure?: AttemptFailure, used?: Used, endedAtMs = this.#getTimeMs()): void {
    const state = this.#state;
    if (state === "over") return;
    this.#state = "over";
    this.#options.sweep.remove(this);
    if (failure !== undefined) this.#controller?.abort(failure.error);
    const usage = used ?? this.#measure(state);
    const end: AttemptEnd = { failure, outcome: toOutcome(state === "answering", failure), endedAtMs };
    if (usage === undefined || "source" in usage) {
      this.#tell(end, usage);
      return;
    }
    const { operation, requestBytes } = this.#trial.call;
    const unmeasured = { operation, requestBytes, body: this.#body, ...usage };
    countUsage(this.#options, unmeasured, (counted) => this.#tell(end, counted));
  }

  /** Says that it is over, and gives back what it held. */
  #tell({ failure, outcome, endedAtMs }: AttemptEnd, usage: MeasuredUsage | undefined): void {
    const { target, startedAtMs } = this.#trial;
    if (this.#status === 200 && this.#reader === undefined) this.#options.memory.give(this.#collectedBytes);
    this.#collected = undefined;
    this.#text?.release();
    const result: AttemptResult = {
      target,
      startedAtMs,
      firstContentAtMs: this.#firstContentAtMs,
      endedAtMs,
      outcome,
      reason: failure?.error.reason,
      providerStatus: this.#status,
      error: failure?.error,
      usage,
    };
    this.#listener.onEnd(result, failure);
  }

  /** What is known of the usage at the end. Undefined leaves it to accounting's rule for what nobody knows. */
  #measure(state: string): Used | undefined {
    if (state === "connecting") return NOTHING_USED;
    const reader = this.#reader;
    const answer = this.#text;
    if (reader === undefined || answer === undefined) return undefined;
    const { quantities, textBytes } = reader;
    if (quantities !== undefined) return { source: UsageSource.PROVIDER, quantities };
    return state === "answering" ? { answer, textBytes } : undefined;
  }
}

/** What an attempt used, or what has to be counted to know it. */
type Used = MeasuredUsage | Pick<UnmeasuredCall, "answer" | "textBytes">;

/** How an attempt ended. */
interface AttemptEnd {
  readonly failure: AttemptFailure | undefined;
  readonly outcome: OutcomeKind;
  /** Milliseconds since 1970. */
  readonly endedAtMs: number;
}

function isOfType(contentType: string | string[] | undefined, wanted: string): boolean {
  if (contentType === "application/json") return false;
  return contentType === wanted || String(contentType).toLowerCase().startsWith(wanted);
}

/** Headers with the caller's in place of those of the same name, such as a version that it asks for. */
function mergeHeaders(headers: readonly string[], relayed: readonly string[]): string[] {
  const merged = [...relayed];
  for (let i = 0; i < headers.length; i += 2) {
    let isReplaced = false;
    for (let j = 0; j < relayed.length && !isReplaced; j += 2) isReplaced = relayed[j] === headers[i];
    if (!isReplaced) merged.push(headers[i]!, headers[i + 1]!);
  }
  return merged;
}

function sumInput(quantities: Quantities): number {
  return (
    (quantities.get(Meter.INPUT_TOKENS) ?? 0) +
    (quantities.get(Meter.CACHED_INPUT_TOKENS) ?? 0) +
    (quantities.get(Meter.CACHE_WRITE_TOKENS) ?? 0)
  );
}

function toOutcome(hadContent: boolean, failure: AttemptFailure | undefined): OutcomeKind {
  if (failure === undefined) return OutcomeKind.ANSWERED;
  const { reason } = failure.error;
  if (reason === "CALLER_GONE" || reason === "DEADLINE_EXCEEDED") return OutcomeKind.CANCELLED;
  return hadContent ? OutcomeKind.CUT : OutcomeKind.FAILED;
}
