import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import type { PinnedPolicy } from "../../shared/snapshot/hold.ts";
import type { ProvenCaller } from "../admission/caller.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { ProviderFailure, RelayedRequest, TypedInput } from "../providers/dialect.ts";
import type { Timeouts } from "../routing/timeouts.ts";
import type { RelayWayFormat, TypedWayFormat } from "../routing/way.ts";

/** A caller whose key was looked at when it arrived, and under what. */
export interface Greeting {
  readonly pinned: PinnedPolicy;
  readonly proven: ProvenCaller;
}

/** A chat as it arrived, complete: what is asked, by whom as far as the caller says, and by which surface. */
export interface ChatCall {
  /** Id of the call, minted when it arrived: of its usage, its record, and its answer's `x-request-id`. */
  readonly eventId: string;
  /** When its first byte was seen: milliseconds since 1970, and of the monotonic clock. */
  readonly arrivedAtMs: number;
  readonly arrivedMonotonicMs: number;
  /** When its last byte was there, of the monotonic clock: from here on it is this router that takes its time. */
  readonly receivedMonotonicMs: number;
  /** Name of the surface that took it, such as "openai" or "grpc". */
  readonly surface: string;
  readonly operation: Operation;
  readonly headers: CallerHeaders;
  /** Saves a second look at the key, if what runs has not changed since. */
  readonly greeting: Greeting;
  /** Id of the model, as the caller wrote it. */
  readonly model: string;
  readonly streamed: boolean;
  readonly request: RelayedRequest | TypedRequest;
  /** Bytes of the request's body. */
  readonly requestBytes: number;
  /** The most tokens of one candidate, when the caller says. */
  readonly maxOutputTokens: bigint | undefined;
  /** How many candidates are asked for, from 1. */
  readonly candidates: number;
  /** Pseudonym of the person at the end; empty when not said. */
  readonly endUser: string;
  /** Headers that go to a provider to whom its bytes are relayed, name and value by turns. */
  readonly relayedHeaders: readonly string[];
  /** How long the caller will wait for a provider, as far as it says. It can only shorten what the policy allows. */
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Whether the caller wants only the first target of the plan asked. Absent when it takes any. */
  readonly fallback?: "none" | undefined;
  /** When the caller stops waiting, of the monotonic clock. Absent when it did not say. */
  readonly deadlineMonotonicMs?: number;
}

/** A request in typed messages, to be written in whatever dialect the target speaks. */
export interface TypedRequest {
  readonly format: undefined;
  readonly input: TypedInput;
}

/** What an answer says about itself in its headers, as far as it is known when it begins. */
export interface AnswerHead {
  readonly eventId: string;
  /** Versions that the call pinned; absent when there were none to pin. */
  readonly snapshotVersion?: bigint;
  readonly keyringVersion?: bigint;
  /** Id of the target that answers; absent when none does. */
  readonly target?: string;
  /** How the target was asked: in its format the answer's bytes are written. */
  readonly way?: RelayWayFormat | TypedWayFormat;
  /** Tokens of the request as far as they are known when a translated answer begins: said by the provider, else counted. */
  readonly inputTokens?: number;
  /** The fields of the request that were left out for the target, as the policy allows. */
  readonly dropped?: readonly string[];
  /** The provider's headers that may go to the caller. */
  readonly relayedHeaders?: readonly (readonly [name: string, value: string])[];
}

/** An error as a caller gets it. */
export interface AnswerFailure {
  readonly error: WeirError;
  /** Whether trying again is in vain, though with its reason it mostly helps. Default false. */
  readonly lasts?: boolean;
  /** What the provider said to the caller, when it is the caller who must act. */
  readonly said?: ProviderFailure["said"];
  /** Status that the provider gave it; absent when it gave none. */
  readonly status?: number;
}

/** Hears of the caller while an answer is on its way. */
export interface SinkListener {
  /** The caller has read what was written: more can be. */
  onDrain(): void;
  /** The caller is gone. Called at most once, never after the answer's end. */
  onGone(): void;
}

/** Where an answer goes. Each surface has its own; `fail` or `end` is called exactly once, last. */
export interface AnswerSink {
  /** Called once, before all else. `head` is what is known of the answer already, for a sink that must say something soon. */
  listen(listener: SinkListener, head: AnswerHead): void;
  /** The answer begins: from now on it is this target's. Called at most once. */
  begin(head: AnswerHead): void;
  /** Part of the answer, in the format of its head. False when the caller reads slower: wait for `onDrain`. */
  write(bytes: Buffer): boolean;
  /** The answer is complete. `getUsage` says what it used and cost, for a surface that tells. */
  end(getUsage: () => Usage): void;
  /** There is no answer, or no more of it. */
  fail(head: AnswerHead, failure: AnswerFailure): void;
}

/** The spine, as surfaces see it: takes a chat and sees to it that its sink is served. Never throws. */
export type StartChat = (call: ChatCall, sink: AnswerSink) => void;
