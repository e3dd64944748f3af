import { setImmediate } from "node:timers/promises";
import type { Bus } from "../shared/bus/bus.ts";
import { type BusMessage, consume } from "../shared/bus/consume.ts";
import { createTurns } from "../shared/bus/turns.ts";
import { type Fact, readFacts } from "./fact.ts";

/** What is heard, and who takes it. */
export interface IntakeOptions {
  readonly bus: Bus;
  /** Each region's stream is taken from its own server, through the JetStream domain of the region's name. */
  readonly regions: readonly string[];
  /** Resolves when all facts are committed; throws to have them come again. */
  readonly takeIn: (facts: readonly Fact[], signal: AbortSignal) => Promise<void>;
  /** Ends the intake; what is in hand is finished. */
  readonly signal: AbortSignal;
}

// Messages hold up to 500 facts each: a handful catches up fast, and a waiting one is handled alone and at once. All that is in hand
// must be committed before the server delivers it again, on a slow machine too.
const MESSAGES_AT_ONCE = 4;
// While PostgreSQL commits one batch the next is taken apart, so that neither waits for the other.
const IN_FLIGHT = 2;
// Taken apart and handed on together: no more of them are in memory at once, however many messages came.
const FACTS_AT_ONCE = 1_000;

/** Hears the usages of all regions until the signal fires. A region that is cut off does not keep the others waiting. */
export async function hearUsages({ bus, regions, takeIn, signal }: IntakeOptions): Promise<void> {
  const inTurn = createTurns();
  await Promise.all(
    regions.map((region) =>
      consume(bus, {
        stream: "USAGE",
        // The name holds the region: an acknowledgement's subject names stream and consumer, no domain, so that with one name for all
        // regions it would also remove another region's message (nats-server 2.9). The leaf links let only these names through.
        durable: `metering-${region}`,
        domain: region,
        region,
        batch: MESSAGES_AT_ONCE,
        inFlight: IN_FLIGHT,
        signal,
        handle: async (messages, handling) => {
          const groups = readTogether(region, messages);
          for (;;) {
            const begun = await inTurn(async () => {
              const { value: facts } = await groups.next();
              // Checked and rated within the turn, committed outside it.
              return facts && { committed: takeIn(facts, handling) };
            });
            if (begun === undefined) return;
            await begun.committed;
          }
        },
      }),
    ),
  );
}

// Facts of messages, a thousand or so at a time: small messages together, a large one by itself.
async function* readTogether(
  region: string,
  messages: readonly BusMessage[],
): AsyncGenerator<readonly Fact[], undefined> {
  let facts: Fact[] = [];
  for (const message of messages) {
    // The batch in PostgreSQL's hands wants its next statement sent, and callers want their answers.
    await setImmediate();
    facts = facts.concat(readFacts(region, message));
    if (facts.length < FACTS_AT_ONCE) continue;
    yield facts;
    facts = [];
  }
  if (facts.length > 0) yield facts;
  return undefined;
}
