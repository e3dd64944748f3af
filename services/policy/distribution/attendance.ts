import type { Clock } from "../../shared/clock.ts";
import type { Pool } from "../../shared/database/pool.ts";
import { Rest } from "../../shared/rest.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import { forgetInstances, type InstanceLife, markGone, markWatching } from "../store/instances.ts";

/** How often the database is told who watches. */
const ATTENDANCE_MS = 5_000;
/** An instance that was last seen longer ago than this is not connected. */
export const CONNECTED_MS = 3 * ATTENDANCE_MS;
/** An instance that is gone stays listed for a day. */
const REMEMBER_MS = 24 * 3_600_000;

/** What an attendance needs. */
export interface AttendanceOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Id of this life of this instance of policy. */
  readonly boot: string;
  readonly metrics?: Pick<Metrics, "weir_policy_watchers">;
}

/**
 * Who watches this instance of policy, written to the database, so that any instance can say who is connected. One writer: however
 * many routers come at once, what came while it wrote is written together.
 */
export class Attendance {
  readonly #options: AttendanceOptions;
  /** Watches by the life that holds them; one that connects anew has two for a moment. */
  readonly #present = new Map<string, { readonly life: InstanceLife; watches: number }>();
  readonly #counts = new Map<string, number>();
  #entered = new Map<string, InstanceLife>();
  #left = new Map<string, InstanceLife>();
  readonly #rest = new Rest();

  constructor(options: AttendanceOptions) {
    this.#options = options;
  }

  /** Notes that an instance watches, until the function that it returns is called. Returns at once; the database hears of it soon. */
  enter(life: InstanceLife): () => void {
    const key = JSON.stringify([life.region, life.instance, life.boot]);
    const known = this.#present.get(key) ?? { life, watches: 0 };
    known.watches += 1;
    this.#present.set(key, known);
    this.#count(life.region, 1);
    this.#left.delete(key);
    this.#entered.set(key, life);
    this.#rest.wake();
    let isHere = true;
    return () => {
      if (!isHere) return;
      isHere = false;
      this.#count(life.region, -1);
      known.watches -= 1;
      if (known.watches > 0) return;
      this.#present.delete(key);
      this.#entered.delete(key);
      this.#left.set(key, life);
      this.#rest.wake();
    };
  }

  /** Tells the database who comes, who goes, and again and again who is there. Resolves when the signal fires; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let isReported = false;
    let nextMs = clock.monotonicMs();
    while (!signal.aborted) {
      this.#rest.beginRound();
      try {
        if (clock.monotonicMs() >= nextMs) {
          nextMs = clock.monotonicMs() + ATTENDANCE_MS;
          await this.#tellAll();
        }
        await this.#tellChanges();
        isReported = false;
      } catch (error) {
        // Changes that were lost with it are told with all the others within 5 s, and who is gone shows by not being told.
        if (!isReported) log.warn({ error }, "Cannot note who watches; trying again");
        isReported = true;
      }
      await this.#rest.take(clock, nextMs - clock.monotonicMs(), signal);
    }
  }

  async #tellAll(): Promise<void> {
    const { pool, boot } = this.#options;
    const lives = [...this.#present.values()].map(({ life }) => life);
    await markWatching(pool, boot, lives);
    await forgetInstances(pool, REMEMBER_MS);
  }

  async #tellChanges(): Promise<void> {
    const { pool, boot } = this.#options;
    const [entered, left] = [[...this.#entered.values()], [...this.#left.values()]];
    this.#entered = new Map();
    this.#left = new Map();
    await markWatching(pool, boot, entered);
    await markGone(pool, boot, left);
  }

  #count(region: string, change: number): void {
    const count = (this.#counts.get(region) ?? 0) + change;
    this.#counts.set(region, count);
    this.#options.metrics?.weir_policy_watchers.set({ region }, count);
  }
}
