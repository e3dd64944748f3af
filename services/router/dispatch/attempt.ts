import type { Dispatcher } from "undici";
import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { BodyMemory } from "../arrival/body-memory.ts";
import type { ChatCall } from "../arrival/call.ts";
import type { ProviderFailure, StreamReader } from "../providers/dialect.ts";
import type { Upstream } from "../routing/upstreams.ts";
import { pickAnswerHeaders } from "./answer-headers.ts";
import { type AttemptResult, countUsage, type MeasuredUsage, NOTHING_USED } from "./result.ts";
import type { DeadlineSweep, Watched } from "./sweep.ts";

/** What an attempt is made of. */
export interface AttemptOptions {
  readonly call: ChatCall;
  readonly target: SnapshotTarget;
  readonly upstream: Upstream;
  readonly pool: Dispatcher;
  readonly body: Buffer;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly memory: BodyMemory;
  /** Largest answer that is taken, in bytes. */
  readonly answerLimitBytes: number;
  readonly listener: AttemptListener;
}

/** Why an attempt brought no answer, or no whole one. */
export interface AttemptFailure {
  readonly error: WeirError;
  /** Whether another target may do better. */
  readonly elsewhere: boolean;
  readonly said?: ProviderFailure["said"];
  readonly status?: number;
}

/** Hears of an attempt. `onEnd` comes last and exactly once. */
export interface AttemptListener {
  /** The first content is there: the answer is this target's. */
  onContent(relayedHeaders: readonly (readonly [string, string])[]): void;
  /** Part of the answer. False to be paused until `resume`. */
  onBytes(bytes: Buffer): boolean;
  onEnd(result: AttemptResult, failure?: AttemptFailure): void;
}

/** Most of the body of an answer that is no 200 that is read. */
const REFUSAL_BYTES = 64 * 1024;

/**
 * One call to one target, from the moment it is handed to the pool to its end. Its states, and what the deadline is in each:
 *
 * - *connecting*: waits for a connection; the connect timeout. Nothing has been sent, so nothing can be billed.
 * - *asked*: the request is on its way; the first token timeout, which goes on while headers and preamble come.
 * - *answering*: content came and goes on to the caller; the idle timeout, begun anew with each event that has data
 *   (comments do not count: a server that only says it lives is idle). While the caller reads slower than the provider
 *   writes, only the total timeout runs.
 * - *over*: exactly one `onEnd` was said; whatever the connection still brings is dropped.
 *
 * The total timeout of the whole chat cuts through all of them. When the process dies in any state, the spool's entry settles
 * the call.
 */
export class Attempt implements Dispatcher.DispatchHandler, Watched {
  readonly #options: AttemptOptions;
  readonly #startedAtMs: number;
  readonly #totalDeadlineMs: number;
  #state: "connecting" | "asked" | "answering" | "over" = "connecting";
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #reader: StreamReader | undefined;
  #collected: Buffer[] = [];
  #collectedBytes = 0;
  #receivedBytes = 0;
  #events = 0;
  #firstContentAtMs: number | undefined;
  #paused = false;
  deadlineMs: number;

  constructor(options: AttemptOptions) {
    const { call, clock, upstream } = options;
    this.#options = options;
    this.#startedAtMs = clock.nowMs();
    this.#totalDeadlineMs = Math.min(
      call.arrivedMonotonicMs + upstream.totalTimeoutMs,
      call.deadlineMonotonicMs ?? Number.POSITIVE_INFINITY,
    );
    this.deadlineMs = this.#until(upstream.connectTimeoutMs);
  }

  /** Hands the request to the pool. `onEnd` may come before this returns. */
  start(): void {
    const { call, upstream, body, pool, sweep } = this.#options;
    sweep.add(this);
    try {
      pool.dispatch(
        {
          path: upstream.chatPath,
          method: "POST",
          headers: [
            ...upstream.headers,
            ...call.relayedHeaders,
            "accept",
            call.streamed ? "text/event-stream" : "application/json",
          ],
          body,
        },
        this,
      );
    } catch (cause) {
      // What the client library refuses to send, such as a path that is none.
      this.#failWith("PROVIDER_FAILED", "the request can't be sent", { elsewhere: true, cause });
    }
  }

  /** Ends the attempt for a reason of the caller or of this process; the provider's connection is cut. */
  cancel(error: WeirError): void {
    this.#end({ error, elsewhere: false });
  }

  /** The caller has caught up. */
  resume(): void {
    if (!this.#paused || this.#state === "over") return;
    this.#paused = false;
    this.deadlineMs = this.#until(this.#options.upstream.idleTimeoutMs);
    this.#controller?.resume();
  }

  onDeadline(): void {
    const { call, clock, upstream } = this.#options;
    const total = clock.monotonicMs() >= this.#totalDeadlineMs;
    if (total && this.#totalDeadlineMs === call.deadlineMonotonicMs) {
      this.#failWith("DEADLINE_EXCEEDED", "the caller's deadline has passed", { elsewhere: false });
    } else if (total) {
      const facts = { timeout: "total", limit_ms: String(upstream.totalTimeoutMs) };
      this.#failWith("TIMEOUT", `the chat took longer than ${upstream.totalTimeoutMs} ms`, { elsewhere: false, facts });
    } else {
      const [timeout, limitMs, state] = this.#describeTimeout();
      const facts = { timeout, limit_ms: String(limitMs) };
      this.#failWith("PROVIDER_TIMEOUT", `${state} within ${limitMs} ms`, { elsewhere: true, facts });
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === "over") return void controller.abort(new Error("the attempt is over"));
    this.#state = "asked";
    this.deadlineMs = this.#until(this.#options.upstream.firstTokenTimeoutMs);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (this.#state === "over" || status < 200) return;
    this.#status = status;
    this.#headers = headers;
    if (status !== 200) return;
    const { call, upstream, answerLimitBytes } = this.#options;
    const encoding = headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") {
      this.#failAs("the provider's answer is compressed, though none was asked for");
      return;
    }
    if (Number(headers["content-length"] ?? 0) > answerLimitBytes) {
      this.#failAsTooLarge();
      return;
    }
    const type = String(headers["content-type"] ?? "").toLowerCase();
    if (type.startsWith("text/event-stream") !== call.streamed) {
      this.#failAs(`the provider's answer is ${call.streamed ? "no stream" : "a stream"}, against what was asked for`);
      return;
    }
    if (call.streamed) {
      this.#reader = upstream.dialect.createStreamReader({
        wantsUsage: call.request.dialect === undefined || call.request.wantsUsage,
        candidates: call.candidates,
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
    if (this.#reader === undefined) {
      this.#collect(chunk);
      return;
    }
    this.#relay(this.#reader.read(chunk), this.#reader);
    this.#afterReading(this.#reader, controller);
  }

  onResponseEnd(): void {
    if (this.#state === "over") return;
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
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "UND_ERR_CONNECT_TIMEOUT") {
      this.onDeadline();
      return;
    }
    const state =
      this.#state === "connecting" ? "no connection to the provider" : "the connection to the provider broke";
    this.#failWith("PROVIDER_FAILED", state, { elsewhere: true, cause });
  }

  #relay(bytes: Buffer | undefined, reader: StreamReader): void {
    if (bytes === undefined || this.#state === "over") return;
    const { clock, listener } = this.#options;
    if (this.#state === "asked" && reader.hasContent) {
      this.#state = "answering";
      this.#firstContentAtMs = clock.nowMs();
      listener.onContent(pickAnswerHeaders(this.#headers));
    }
    this.#paused = !listener.onBytes(bytes);
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
      this.deadlineMs = this.#until(this.#options.upstream.idleTimeoutMs);
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
        this.#end({ error: error as WeirError, elsewhere: false });
        return;
      }
    }
    this.#collected.push(chunk);
    this.#collectedBytes += chunk.length;
    // An answer in one piece comes when it is complete; between its parts the idle timeout runs.
    if (this.#status === 200) this.deadlineMs = this.#until(this.#options.upstream.idleTimeoutMs);
  }

  #endAnswered(): void {
    const { upstream, listener, clock } = this.#options;
    const body = this.#collected.length === 1 ? this.#collected[0]! : Buffer.concat(this.#collected);
    const { failure, quantities, textBytes } = upstream.dialect.readAnswer(body);
    if (failure !== undefined) {
      this.#failFromProvider(failure);
      return;
    }
    this.#firstContentAtMs = clock.nowMs();
    this.#state = "answering";
    listener.onContent(pickAnswerHeaders(this.#headers));
    listener.onBytes(body);
    const usage: MeasuredUsage =
      quantities === undefined ? this.#count(textBytes) : { source: UsageSource.PROVIDER, quantities };
    if ((this.#state as string) !== "over") this.#end(undefined, usage);
  }

  #endRefused(): void {
    const { upstream, clock } = this.#options;
    const failure = upstream.dialect.readRefusal({
      status: this.#status,
      headers: this.#headers,
      body: Buffer.concat(this.#collected),
      nowMs: clock.nowMs(),
    });
    this.#failFromProvider(failure);
  }

  #failFromProvider(failure: ProviderFailure): void {
    const { said } = failure;
    const state = this.#hide(failure.state);
    const status = this.#status === 200 ? undefined : this.#status;
    const error = new WeirError(this.#reasonOf(failure.reason), `Cannot answer: ${state}`, {
      facts: {
        target: this.#options.target.id,
        ...(status !== undefined && { provider_status: String(status) }),
        ...(said?.code && { provider_code: this.#hide(said.code) }),
        ...(said?.param && { param: this.#hide(said.param) }),
      },
      ...(failure.retryAfterMs !== undefined && { retryAfterMs: failure.retryAfterMs }),
    });
    this.#end({
      error,
      elsewhere: failure.elsewhere,
      ...(status !== undefined && { status }),
      ...(said && {
        said: {
          message: this.#hide(said.message),
          type: this.#hide(said.type),
          code: this.#hide(said.code),
          param: this.#hide(said.param),
        },
      }),
    });
  }

  /** Takes the credential out of what a provider says, should it quote it. */
  #hide(text: string): string {
    const { secret } = this.#options.upstream;
    return secret === "" ? text : text.replaceAll(secret, "…");
  }

  #failAs(state: string): void {
    this.#failWith("PROVIDER_FAILED", state, { elsewhere: true });
  }

  #failAsTooLarge(): void {
    this.#failAs(`the provider's answer is larger than ${this.#options.answerLimitBytes} bytes`);
  }

  #failWith(
    reason: Reason,
    state: string,
    {
      elsewhere,
      facts,
      cause,
    }: { readonly elsewhere: boolean; readonly facts?: Readonly<Record<string, string>>; readonly cause?: unknown },
  ): void {
    const error = new WeirError(this.#reasonOf(reason), `Cannot answer: ${state}`, {
      facts: { ...facts, target: this.#options.target.id },
      cause,
    });
    this.#end({ error, elsewhere });
  }

  /** A provider's failure after content is a cut, whatever it was. */
  #reasonOf(reason: Reason): Reason {
    return this.#state === "answering" && reason.startsWith("PROVIDER_") ? "STREAM_CUT" : reason;
  }

  #describeTimeout(): readonly [timeout: string, limitMs: number, state: string] {
    const { connectTimeoutMs, firstTokenTimeoutMs, idleTimeoutMs } = this.#options.upstream;
    if (this.#state === "connecting") return ["connect", connectTimeoutMs, "no connection to the provider"];
    if (this.#state === "answering" || this.#collectedBytes > 0) {
      return ["idle", idleTimeoutMs, "the provider sent nothing more"];
    }
    return ["first_token", firstTokenTimeoutMs, "the provider sent no content"];
  }

  #until(timeoutMs: number): number {
    return Math.min(this.#options.clock.monotonicMs() + timeoutMs, this.#totalDeadlineMs);
  }

  #count(textBytes: number): MeasuredUsage {
    return countUsage(this.#options.call.requestBytes, textBytes);
  }

  #end(failure?: AttemptFailure, measured?: MeasuredUsage): void {
    const state = this.#state;
    if (state === "over") return;
    this.#state = "over";
    const { sweep, memory, target, clock, listener } = this.#options;
    sweep.remove(this);
    if (this.#status === 200 && this.#reader === undefined) memory.give(this.#collectedBytes);
    this.#collected = [];
    if (failure !== undefined) this.#controller?.abort(failure.error);
    const usage = measured ?? this.#measure(state, failure);
    listener.onEnd(
      {
        target,
        startedAtMs: this.#startedAtMs,
        endedAtMs: clock.nowMs(),
        outcome: toOutcome(state === "answering", failure),
        providerStatus: this.#status,
        ...(this.#firstContentAtMs !== undefined && { firstContentAtMs: this.#firstContentAtMs }),
        ...(failure !== undefined && { reason: failure.error.reason, error: failure.error }),
        ...(usage !== undefined && { usage }),
      },
      failure,
    );
  }

  /** What is known of the usage at the end. Undefined leaves it to accounting's rule for what nobody knows. */
  #measure(state: string, failure: AttemptFailure | undefined): MeasuredUsage | undefined {
    if (state === "connecting") return NOTHING_USED;
    const reader = this.#reader;
    if (reader === undefined) return undefined;
    const { quantities, textBytes } = reader;
    if (quantities !== undefined) return { source: UsageSource.PROVIDER, quantities };
    if (state === "answering") return this.#count(textBytes);
    // The provider itself said that there is no answer, before any content.
    return reader.failure !== undefined && failure !== undefined ? NOTHING_USED : undefined;
  }
}

function toOutcome(hadContent: boolean, failure: AttemptFailure | undefined): OutcomeKind {
  if (failure === undefined) return OutcomeKind.ANSWERED;
  const { reason } = failure.error;
  if (reason === "CALLER_GONE" || reason === "DEADLINE_EXCEEDED") return OutcomeKind.CANCELLED;
  return hadContent ? OutcomeKind.CUT : OutcomeKind.FAILED;
}
