import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { findRefusal } from "./complete-errors.ts";
import type { Health } from "./health.ts";
import { createSettleCall } from "./settle-call.ts";

/**
 * Turns what a handler throws into what a caller may see, logs what is our own fault, and measures. The outermost
 * interceptor, so that the others' refusals take the same way.
 */
export function createErrorInterceptor(
  log: Log,
  metrics?: Pick<Metrics, "rpc_server_call_duration_seconds">,
): Interceptor {
  const settleCall = createSettleCall(log, metrics);
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    const beganMs = performance.now();
    // The messages of a stream are read while its handler runs: what the library finds wrong with them comes by here.
    const name = (error: unknown) => (request.stream && error instanceof ConnectError && findRefusal(error)) || error;
    const settle = (error?: unknown) => settleCall(method, beganMs, name(error));
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: settleAtEnd(response.message, settle) };
      settle();
      return response;
    } catch (error) {
      throw settle(error);
    }
  };
}

async function* settleAtEnd<T>(messages: AsyncIterable<T>, settle: (error?: unknown) => unknown): AsyncGenerator<T> {
  let settled = false;
  try {
    yield* messages;
    settled = true;
    settle();
  } catch (error) {
    settled = true;
    throw settle(error);
  } finally {
    // A caller who leaves ends this generator where it yields: neither of the above is reached.
    if (!settled) settle(new ConnectError("the caller left", Code.Canceled));
  }
}

/**
 * Ends streams that would never end by themselves when the process drains, with DRAINING, so that their callers go to
 * another instance: every server stream whose name begins with "Watch", of ours and of others (health has its own end).
 */
export function createDrainInterceptor(health: Health): Interceptor {
  return (next) => async (request) => {
    const response = await next(request);
    const isWatch = request.method.name.startsWith("Watch") && request.service.typeName !== "grpc.health.v1.Health";
    if (!response.stream || !isWatch) return response;
    return { ...response, message: untilDrained(response.message, health.draining) };
  };
}

async function* untilDrained<T>(messages: AsyncIterable<T>, draining: AbortSignal): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let interrupt = () => {};
  const onDrain = () => interrupt();
  draining.addEventListener("abort", onDrain);
  // No `Promise.race` with one promise of the drain: it would keep a reaction for each message of a watch of months.
  const next = () =>
    new Promise<IteratorResult<T>>((resolve, reject) => {
      interrupt = () => reject(new WeirError("DRAINING", "Cannot go on watching: the instance is draining"));
      if (draining.aborted) interrupt();
      iterator.next().then(resolve, reject);
    });
  try {
    for (let result = await next(); !result.done; result = await next()) yield result.value;
  } finally {
    draining.removeEventListener("abort", onDrain);
    // Not awaited: an iterator that waits for its next value ends only after that.
    iterator.return?.()?.catch(() => undefined);
  }
}
