import type { Interceptor } from "@connectrpc/connect";
import { WeirError } from "../shared/errors/weir-error.ts";

/**
 * Refuses calls with NOT_READY until `opened()` says that the store is open: before, there are no tables to ask. Health and reflection
 * are answered, since they are asked just for that.
 */
export function createGate(opened: () => boolean): Interceptor {
  return (next) => async (request) => {
    if (!opened() && request.service.typeName.startsWith("weir.")) {
      throw new WeirError("NOT_READY", "Cannot answer: the store is not open yet", { retryAfterMs: 1_000 });
    }
    return await next(request);
  };
}
