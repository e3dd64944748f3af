import { type Clock, pause } from "../../shared/clock.ts";
import type { Pool } from "../../shared/database/pool.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { type InstanceTraffic, storeTraffic } from "../store/traffic.ts";

/** How often what came is written. */
const WRITE_MS = 1_000;
/** Of how many routers reports are remembered until they are written: what is newer pushes out the oldest. */
const ROUTERS_LIMIT = 10_000;
/** Versions of a router that are remembered until then, the last that it spoke of: as many as are kept of it. */
const VERSIONS_PER_ROUTER = 2;

/** What a desk needs. */
export interface TrafficDeskOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Takes in what routers say of their calls and writes it once a second, in one statement: a thousand routers that report every two seconds
 * are one write, not five hundred. Counts only rise, so of each router and version the last one tells all. A router speaks for itself only (its
 * certificate says which it is), and one that names ever other versions pushes out nothing but its own.
 */
export class TrafficDesk {
  readonly #options: TrafficDeskOptions;
  /** By region and router. */
  #pending = new Map<string, readonly InstanceTraffic[]>();

  constructor(options: TrafficDeskOptions) {
    this.#options = options;
  }

  /** Takes a report in. Returns at once. */
  take(report: InstanceTraffic): void {
    const router = `${report.region}/${report.instance}`;
    const others = this.#pending.get(router)?.filter(({ version }) => version !== report.version) ?? [];
    this.#pending.set(router, [...others, report].slice(-VERSIONS_PER_ROUTER));
    if (this.#pending.size <= ROUTERS_LIMIT) return;
    const [oldest] = this.#pending.keys();
    if (oldest !== undefined) this.#pending.delete(oldest);
  }

  /** Writes again and again until the signal fires; resolves then and never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { pool, clock, log } = this.#options;
    let isReported = false;
    while (!signal.aborted) {
      await pause(clock, WRITE_MS, signal);
      if (this.#pending.size === 0 || signal.aborted) continue;
      const reports = [...this.#pending.values()].flat();
      this.#pending = new Map();
      try {
        await storeTraffic(pool, reports);
        isReported = false;
      } catch (error) {
        // What was lost with it is told again, and more, two seconds later.
        if (!isReported) log.warn({ error }, "Cannot note the traffic of routers; trying again");
        isReported = true;
      }
    }
  }
}
