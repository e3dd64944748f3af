import type { Bus } from "../shared/bus/bus.ts";
import { consume } from "../shared/bus/consume.ts";
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

// Messages hold up to 500 facts each: a handful catches up fast, and a waiting one is handled alone and at once.
const MESSAGES_AT_ONCE = 8;

/** Hears the usages of all regions until the signal fires. A region that is cut off does not keep the others waiting. */
export async function hearUsages({ bus, regions, takeIn, signal }: IntakeOptions): Promise<void> {
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
        signal,
        handle: (messages, handling) =>
          takeIn(
            messages.flatMap((message) => readFacts(region, message)),
            handling,
          ),
      }),
    ),
  );
}
