import type { ChatInput } from "../../../gen/weir/router/v1/chat_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { ChatCall, Greeting } from "../arrival/call.ts";

/** A call of ChatService, as its protocol gives it. */
export interface TypedArrival {
  readonly eventId: string;
  /** See {@link ChatCall}. */
  readonly arrivedAtMs: number;
  readonly arrivedMonotonicMs: number;
  /** Now that its message is here. */
  readonly nowMonotonicMs: number;
  readonly headers: CallerHeaders;
  readonly greeting: Greeting;
  readonly input: ChatInput | undefined;
  readonly streamed: boolean;
  /** Size of the request message: the form that bounds its tokens, as each has at least one byte of text. */
  readonly requestBytes: number;
  /** How long the caller waits from its arrival, milliseconds, when it says. */
  readonly timeoutMs: number | undefined;
}

/** Makes a chat of a call of ChatService. Throws ARGUMENT_INVALID when nothing is asked, DEADLINE_EXCEEDED when nobody waits any longer. */
export function toTypedCall(arrival: TypedArrival): ChatCall {
  const { input, arrivedMonotonicMs, timeoutMs } = arrival;
  if (input === undefined) throw new WeirError("ARGUMENT_INVALID", 'Cannot start call: "input" is missing');
  if (timeoutMs !== undefined && arrival.nowMonotonicMs >= arrivedMonotonicMs + timeoutMs) {
    throw new WeirError("DEADLINE_EXCEEDED", "Cannot start call: the caller's deadline has passed");
  }
  return {
    eventId: arrival.eventId,
    arrivedAtMs: arrival.arrivedAtMs,
    arrivedMonotonicMs,
    surface: "grpc",
    operation: Operation.CHAT,
    headers: arrival.headers,
    greeting: arrival.greeting,
    model: input.model,
    streamed: arrival.streamed,
    request: { format: undefined, input },
    requestBytes: arrival.requestBytes,
    maxOutputTokens: input.maxOutputTokens,
    candidates: Math.max(1, input.candidates),
    endUser: isPlain(input.endUser) ? input.endUser : "",
    relayedHeaders: [],
    ...(timeoutMs !== undefined && { deadlineMonotonicMs: arrivedMonotonicMs + timeoutMs }),
  };
}

/** It is stored and shown; see the scanner of the OpenAI surface. */
function isPlain(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/[\u0000-\u001f\u007f]/.test(text);
}
