import type { Clock } from "../../shared/clock.ts";
import type { Pool } from "../../shared/database/pool.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import { forgetInstances, type InstanceLife, markGone, markWatching } from "../store/instances.ts";

/** How often the database is told who watches. */
export const ATTENDANCE_MS = 5_000;
/** An instance that was last seen longer ago than this is not connected. */
export const CONNECTED_MS = 3 * ATTENDANCE_MS;
/** An instance that is gone stays listed for a day. */
export const REMEMBER_MS = 24 * 3_600_000;

/** What an attendance needs. */
export interface AttendanceOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Id of this life of this instance of policy. */
  readonly boot: string;
  readonly metrics?: Pick<Metrics, "weir_policy_watchers">;
}

/** Who watches this instance of policy, written to the database now and then, so that any instance can say who is connected. */
export class Attendance {
  readonly #options: AttendanceOptions;
  readonly #present = new Map<object, InstanceLife>();

  constructor(options: AttendanceOptions) {
    this.#options = options;
  }

  /** Notes that an instance watches, until the function that it returns is called. Returns at once. */
  enter(life: InstanceLife): () => void {
    const token = {};
    this.#present.set(token, life);
    this.#count(life.region);
    this.#tell(markWatching(this.#options.pool, this.#options.boot, [life], this.#now()));
    return () => {
      if (!this.#present.delete(token)) return;
      this.#count(life.region);
      const isBack = [...this.#present.values()].some(
        ({ region, instance, boot }) => region === life.region && instance === life.instance && boot === life.boot,
      );
      if (!isBack) this.#tell(markGone(this.#options.pool, this.#options.boot, life));
    };
  }

  /** Tells the database again and again who watches, and forgets who is long gone. Resolves when the signal fires; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { pool, clock, log, boot } = this.#options;
    let isReported = false;
    while (!signal.aborted) {
      try {
        await markWatching(pool, boot, [...this.#present.values()], this.#now());
        await forgetInstances(pool, new Date(clock.nowMs() - REMEMBER_MS));
        isReported = false;
      } catch (error) {
        if (!isReported) log.warn({ error }, "Cannot note who watches; trying again");
        isReported = true;
      }
      await clock.sleep(ATTENDANCE_MS, signal).catch(() => {});
    }
  }

  #now(): Date {
    return new Date(this.#options.clock.nowMs());
  }

  #count(region: string): void {
    const count = [...this.#present.values()].filter((life) => life.region === region).length;
    this.#options.metrics?.weir_policy_watchers.set({ region }, count);
  }

  // Says early what run() would say within 5 s; a watch must not wait for the database, nor fail with it.
  #tell(told: Promise<void>): void {
    told.catch((error: unknown) => this.#options.log.debug({ error }, "Cannot note who watches; trying again soon"));
  }
}
