import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { CountedRefusals } from "./refusal-record.ts";

const MINUTE_MS = 60_000;
/** Most pairs of key and reason (with its rule) that are counted at a time. Beyond it the longest counted one is written early. */
const PAIR_LIMIT = 10_000;
/** While the spool is full nothing is written: pairs beyond this many are not counted at all. */
const HARD_PAIR_LIMIT = 2 * PAIR_LIMIT;

interface Counting {
  readonly caller: Caller;
  readonly reason: Reason;
  readonly rule: string;
  readonly firstAtMs: number;
  count: number;
  lastAtMs: number;
}

/**
 * Counts the refusals of known keys, so that a caller who is refused a thousand times a second leaves one record a minute. What
 * is counted is lost when the process is killed: at most a minute's counts, never a call.
 */
export class RefusalCounts {
  readonly #counting = new Map<string, Counting>();

  /** How many pairs of key and reason are being counted. */
  get size(): number {
    return this.#counting.size;
  }

  /** Counts one. `rule` is the id of the rule that denied it; empty when none did. */
  add(caller: Caller, reason: Reason, nowMs: number, rule = ""): void {
    const key = `${caller.identity.value}\n${reason}\n${rule}`;
    const counting = this.#counting.get(key);
    if (counting === undefined) {
      if (this.#counting.size >= HARD_PAIR_LIMIT) return;
      this.#counting.set(key, { caller, reason, rule, firstAtMs: nowMs, count: 1, lastAtMs: nowMs });
      return;
    }
    counting.count += 1;
    counting.lastAtMs = Math.max(counting.lastAtMs, nowMs);
  }

  /** Takes out the oldest one whose minute is over, or that is one too many. Call it until it returns nothing. */
  takeDue(nowMs: number): CountedRefusals | undefined {
    // The map is in the order of the first refusals.
    for (const [key, counting] of this.#counting) {
      const ageMs = nowMs - counting.firstAtMs;
      // A clock that was set back says nothing of its minute: it must not wait for as long as it was set back.
      if (this.#counting.size <= PAIR_LIMIT && ageMs >= 0 && ageMs < MINUTE_MS) return undefined;
      this.#counting.delete(key);
      return counting;
    }
    return undefined;
  }
}
