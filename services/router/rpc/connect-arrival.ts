import type { HandlerContext } from "@connectrpc/connect";
import type { Clock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { createEventId } from "../../shared/ids.ts";
import type { JudgeCaller } from "../../shared/mesh/connect-handler.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import { FALLBACK_HEADER, readAskedFallback } from "../arrival/asked-fallback.ts";
import { readAskedTimeouts, TIMEOUT_HEADERS } from "../arrival/asked-timeouts.ts";
import type { Greeting, StartChat } from "../arrival/call.ts";
import { pickCallerHeaders } from "../arrival/http-headers.ts";
import type { RpcArrival } from "./typed-call.ts";

/** What the services that the RPC library serves hand their calls to. */
export interface ConnectServiceOptions {
  readonly chats: { readonly start: StartChat; readonly greet: (headers: CallerHeaders) => Greeting | WeirError };
  readonly clock: Clock;
}

/**
 * Says by the head of a request what is wrong with its caller, and names the call in the answer: for the gate before the RPC library,
 * which reads a message whole before a service hears of it.
 */
export function createCallerJudge({ chats, clock }: ConnectServiceOptions): JudgeCaller {
  return (request, response) => {
    const greeting = chats.greet(pickCallerHeaders(request.headers));
    if (!(greeting instanceof WeirError)) return undefined;
    response.setHeader("x-request-id", createEventId(clock.nowMs()));
    return greeting;
  };
}

/** Receives a call from the RPC library: mints its id, and looks at its caller. Throws what is wrong with the caller. */
export function receiveCall(
  { chats, clock }: ConnectServiceOptions,
  context: HandlerContext,
  requestBytes: number,
): RpcArrival {
  const headers = pickCallerHeaders({
    authorization: context.requestHeader.get("authorization") ?? undefined,
    "x-api-key": context.requestHeader.get("x-api-key") ?? undefined,
    "api-key": context.requestHeader.get("api-key") ?? undefined,
  });
  const arrivedAtMs = clock.nowMs();
  const eventId = createEventId(arrivedAtMs);
  context.responseHeader.set("x-request-id", eventId);
  const greeting = chats.greet(headers);
  if (greeting instanceof WeirError) throw greeting;
  const receivedMonotonicMs = clock.monotonicMs();
  return {
    eventId,
    arrivedAtMs,
    arrivedMonotonicMs: receivedMonotonicMs,
    receivedMonotonicMs,
    headers,
    greeting,
    requestBytes,
    timeouts: readAskedTimeouts(
      Object.fromEntries(TIMEOUT_HEADERS.map((name) => [name, context.requestHeader.get(name) ?? undefined])),
    ),
    fallback: readAskedFallback({ [FALLBACK_HEADER]: context.requestHeader.get(FALLBACK_HEADER) ?? undefined }),
    timeoutMs: context.timeoutMs(),
  };
}
