import type { Clock } from "../shared/clock.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import type { Fact } from "./fact.ts";
import { postUsage } from "./ledger/posting.ts";
import { checkUsage, type Unpostable } from "./rating/check-usage.ts";
import { rateUsage } from "./rating/rate.ts";
import type { ParkedFact } from "./store/parked.ts";
import type { Intake, PostableUsage, TakenIn } from "./store/usages.ts";

/** What the spine needs: a place to commit to, somebody to tell, and the time. */
export interface SpendRooms {
  /** Commits all of an intake or nothing, as `commitIntake` of the store does. */
  readonly commit: (intake: Intake, signal: AbortSignal) => Promise<TakenIn>;
  /** Hears what was committed: metrics, alarms. */
  readonly report: (taken: TakenIn) => void;
  readonly clock: Clock;
}

/** A fact on its way: what it counts as, and what it has become. */
interface Settled {
  readonly fact: Fact;
  readonly usage?: PostableUsage;
  readonly parked?: ParkedFact;
}

// One transaction takes this many facts: enough for 100,000 a second, and few to do again when one is refused.
const MAX_FACTS = 1_000;

/**
 * The life of usages: taken in → rated → posted → counted in the watermark. Resolves when all facts are committed, posted or
 * parked, so that the bus may forget them. Throws UNAVAILABLE when PostgreSQL is away: then they must come again.
 */
export async function takeInFacts(facts: readonly Fact[], rooms: SpendRooms, signal: AbortSignal): Promise<void> {
  for (let start = 0; start < facts.length; start += MAX_FACTS) {
    const settled = facts.slice(start, start + MAX_FACTS).map((fact) => settle(fact, rooms.clock.nowMs()));
    await commit(settled, rooms, signal);
  }
}

// A fact becomes a usage with its posting, or a parked fact with its reason.
function settle(fact: Fact, nowMs: number): Settled {
  if (fact.usage === undefined) return park(fact, { kind: "MALFORMED", detail: "the bytes are not a UsageRecorded" });
  const unpostable = checkUsage(fact.usage, fact.region, nowMs);
  if (unpostable !== undefined) return park(fact, unpostable);
  try {
    const rated = rateUsage(fact.usage);
    return { fact, usage: { rated, posting: postUsage(rated), fact: fact.bytes } };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return park(fact, { kind: "AMOUNT", detail: error.message });
  }
}

// When PostgreSQL refuses one, the others must not wait for it: halve until it stands alone, and park it.
async function commit(settled: readonly Settled[], rooms: SpendRooms, signal: AbortSignal): Promise<void> {
  try {
    const intake: Intake = {
      usages: settled.flatMap(({ usage }) => usage ?? []),
      parked: settled.flatMap(({ parked }) => parked ?? []),
      positions: settled.flatMap(({ fact }) => fact.positions),
    };
    rooms.report(await rooms.commit(intake, signal));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const [only] = settled;
    if (settled.length > 1) {
      const middle = settled.length >> 1;
      await commit(settled.slice(0, middle), rooms, signal);
      await commit(settled.slice(middle), rooms, signal);
    } else if (only?.usage !== undefined) {
      await commit([park(only.fact, { kind: "REFUSED", detail: error.message })], rooms, signal);
    } else {
      throw error;
    }
  }
}

function park(fact: Fact, why: Unpostable): Settled {
  const [position] = fact.positions;
  const parked: ParkedFact = {
    why,
    fact: fact.bytes,
    region: fact.region,
    ...(position === undefined ? {} : { position }),
    ...(fact.usage === undefined ? {} : { eventId: fact.usage.eventId }),
  };
  return { fact, parked };
}

function isRefusal(error: unknown): error is WeirError {
  return error instanceof WeirError && error.reason === "ARGUMENT_INVALID";
}
