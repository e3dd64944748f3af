import type { Clock } from "../../shared/clock.ts";
import type { ChatCall } from "./call.ts";

/**
 * The instant of a call, milliseconds since 1970: its arrival, and what the monotonic clock has counted since. For all that is told of a call
 * after it arrived: setting the machine's clock meanwhile makes none of it longer, shorter, or end before it began.
 */
export function getCallTimeMs(
  { arrivedAtMs, arrivedMonotonicMs }: Pick<ChatCall, "arrivedAtMs" | "arrivedMonotonicMs">,
  clock: Pick<Clock, "monotonicMs">,
): number {
  return arrivedAtMs + Math.round(clock.monotonicMs() - arrivedMonotonicMs);
}
