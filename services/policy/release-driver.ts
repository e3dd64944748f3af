import { Rest } from "../shared/rest.ts";
import { BACK_OFF_LIMIT_MS } from "../shared/snapshot/back-off.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { ChangeParts } from "./publish.ts";
import { advanceRelease } from "./release.ts";

/** How often a release that waits for something is looked after: reports may come to other instances of policy, and bake times end. */
const LOOK_MS = 500;
/** How often it is looked whether there is one. Who begins one wakes all. */
const IDLE_MS = 10_000;

/** Takes the steps of releases as they come due. Each instance of policy has one; which of them takes a step does not matter. */
export class ReleaseDriver {
  readonly #parts: ChangeParts;
  readonly #log: Log;
  readonly #graceMs: number;
  #lookingSinceMs = 0;
  readonly #rest = new Rest();

  /** `graceMs`: how long routers may take to come back after policy or its database was away, default that of their back-off. */
  constructor(parts: ChangeParts, log: Log, graceMs = BACK_OFF_LIMIT_MS) {
    this.#parts = parts;
    this.#log = log;
    this.#graceMs = graceMs;
  }

  /** Makes it look now. Returns at once. */
  wake(): void {
    this.#rest.wake();
  }

  /** Works until the signal fires; resolves then and never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let isReported = false;
    this.#lookingSinceMs = this.#parts.clock.monotonicMs();
    while (!signal.aborted) {
      this.#rest.beginRound();
      let restMs = LOOK_MS;
      try {
        const advance = await advanceRelease(this.#parts, this.#countLookingMs(), signal);
        if (advance === "stepped") restMs = 0;
        else if (advance === "idle") restMs = IDLE_MS;
        isReported = false;
      } catch (error) {
        if (!signal.aborted && !isReported) this.#log.error({ error }, "Cannot go on with a release; trying again");
        isReported = true;
        restMs = 2 * LOOK_MS;
        this.#lookingSinceMs = this.#parts.clock.monotonicMs() + restMs;
        // Whoever woke it meanwhile waits as well.
        this.#rest.beginRound();
      }
      await this.#rest.take(this.#parts.clock, restMs, signal);
    }
  }

  // While policy or its database is away nobody can report; who was not heard then must not be taken for gone.
  #countLookingMs(): number {
    return Math.max(0, this.#parts.clock.monotonicMs() - this.#lookingSinceMs - this.#graceMs);
  }
}
