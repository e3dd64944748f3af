import type { ChatInput } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { EmbeddingInput } from "../../../gen/weir/router/v1/embedding_service_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { ChatCall, Greeting } from "../arrival/call.ts";
import type { Timeouts } from "../routing/timeouts.ts";

/** A call of an RPC, as its protocol gives it. */
export interface RpcArrival {
  readonly eventId: string;
  /** See {@link ChatCall}. */
  readonly arrivedAtMs: number;
  readonly arrivedMonotonicMs: number;
  readonly receivedMonotonicMs: number;
  readonly headers: CallerHeaders;
  readonly greeting: Greeting;
  /** Size of the request message: the form that bounds its tokens, as each has at least one byte of text. */
  readonly requestBytes: number;
  readonly timeouts: Partial<Timeouts> | undefined;
  readonly fallback: ChatCall["fallback"];
  /** How long the caller waits from its arrival, milliseconds, when it says. */
  readonly timeoutMs: number | undefined;
}

/** A call of ChatService. */
export interface TypedArrival extends RpcArrival {
  readonly input: ChatInput | undefined;
  readonly streamed: boolean;
}

/** A call of EmbeddingService. */
export interface EmbeddingArrival extends RpcArrival {
  readonly input: EmbeddingInput | undefined;
}

/** Makes a chat of a call of ChatService. Throws ARGUMENT_INVALID when nothing is asked, DEADLINE_EXCEEDED when nobody waits any longer. */
export function toTypedCall(arrival: TypedArrival): ChatCall {
  const { input, streamed } = arrival;
  if (input === undefined) throw new WeirError("ARGUMENT_INVALID", 'Cannot start call: "input" is missing');
  return {
    ...toCommon(arrival),
    operation: Operation.CHAT,
    model: input.model,
    streamed,
    request: { format: undefined, input },
    maxOutputTokens: input.maxOutputTokens,
    candidates: Math.max(1, input.candidates),
    endUser: isPlain(input.endUser) ? input.endUser : "",
  };
}

/** Makes a call of the spine of a call of EmbeddingService. Throws as {@link toTypedCall}. */
export function toEmbeddingCall(arrival: EmbeddingArrival): ChatCall {
  const { input } = arrival;
  if (input === undefined) throw new WeirError("ARGUMENT_INVALID", 'Cannot start call: "input" is missing');
  return {
    ...toCommon(arrival),
    operation: Operation.EMBEDDING,
    model: input.model,
    streamed: false,
    request: { format: undefined, input },
    // Vectors are no tokens: nothing of the answer is billed.
    maxOutputTokens: 0n,
    candidates: 1,
    endUser: isPlain(input.endUser) ? input.endUser : "",
  };
}

function toCommon(arrival: RpcArrival) {
  const { arrivedMonotonicMs, receivedMonotonicMs, timeoutMs } = arrival;
  if (timeoutMs !== undefined && receivedMonotonicMs >= arrivedMonotonicMs + timeoutMs) {
    throw new WeirError("DEADLINE_EXCEEDED", "Cannot start call: the caller's deadline has passed");
  }
  return {
    eventId: arrival.eventId,
    arrivedAtMs: arrival.arrivedAtMs,
    arrivedMonotonicMs,
    receivedMonotonicMs,
    surface: "grpc",
    headers: arrival.headers,
    greeting: arrival.greeting,
    requestBytes: arrival.requestBytes,
    relayedHeaders: [],
    timeouts: arrival.timeouts,
    fallback: arrival.fallback,
    ...(timeoutMs !== undefined && { deadlineMonotonicMs: arrivedMonotonicMs + timeoutMs }),
  };
}

/** It is stored and shown; see `checkEndUser` of the surfaces over HTTP. */
function isPlain(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/[\u0000-\u001f\u007f]/.test(text);
}
