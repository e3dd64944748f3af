import type { Clock } from "../shared/clock.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { AttemptResult } from "./dispatch/result.ts";

/** At most one line for a target in this time; the next one says how many were left out. */
const QUIET_MS = 1_000;

/**
 * Writes why attempts fail, for operators: also what their callers are not told, such as a refused credential or a name that
 * does not resolve. A provider that fails a thousand times a second is one line a second.
 */
export class FailureLog {
  readonly #log: Log;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #byTarget = new Map<string, { nextMs: number; leftOut: number }>();

  constructor(log: Log, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Notes the attempts of a chat; those that were answered, and those whose caller left, are no news. */
  note(eventId: string, attempts: readonly AttemptResult[]): void {
    for (const { target, providerStatus, error, isSkipped } of attempts) {
      if (error === undefined || error.reason === "CALLER_GONE" || error.reason === "PROVIDER_REFUSED") continue;
      // What a caller asks is the caller's affair, and who is ejected was told of then; a mistake of ours is news.
      if (isSkipped === true && (error.reason === "ARGUMENT_INVALID" || error.reason === "TARGET_EJECTED")) continue;
      // Targets are those of policies, so there are few.
      const quiet = this.#byTarget.get(target.id) ?? { nextMs: 0, leftOut: 0 };
      this.#byTarget.set(target.id, quiet);
      const nowMs = this.#clock.monotonicMs();
      if (nowMs < quiet.nextMs) {
        quiet.leftOut += 1;
        continue;
      }
      const { leftOut } = quiet;
      quiet.nextMs = nowMs + QUIET_MS;
      quiet.leftOut = 0;
      this.#log.warn(
        { event_id: eventId, target: target.id, provider_status: providerStatus, left_out: leftOut, err: error },
        "Attempt failed",
      );
    }
  }
}
