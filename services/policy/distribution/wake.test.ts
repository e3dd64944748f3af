import { describe, expect, it } from "vitest";
import { ManualClock } from "../../shared/clock.ts";
import { type Waiter, Wakes } from "./wake.ts";

/** Something that changes when a test says so. */
class Changing {
  #next = Promise.withResolvers<void>();
  get changed() {
    return this.#next.promise;
  }
  change() {
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }
}

function start() {
  const [changing, clock] = [new Changing(), new ManualClock()];
  return { changing, clock, wakes: new Wakes(changing, clock) };
}

const createWaiter = (): Waiter => ({ letGo: () => {} });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("Wakes", () => {
  it("wakes all who wait when something changes, a few in each turn of the event loop", async () => {
    const { changing, wakes } = start();
    let woken = 0;
    for (let index = 0; index < 100; index++) void wakes.wait(9_000, createWaiter()).then(() => woken++);

    changing.change();
    const counts: number[] = [];
    for (let index = 0; index < 8; index++) {
      await turn();
      counts.push(woken);
    }

    expect(Math.max(...counts.map((count, index) => count - (counts[index - 1] ?? 0)))).toBeLessThanOrEqual(32);
    expect(counts.at(-1)).toBe(100);
  });

  it("misses no change that comes right after a waiter was woken", async () => {
    const { changing, wakes } = start();
    const waiter = createWaiter();
    for (let index = 0; index < 5; index++) {
      const waiting = wakes.wait(9_000, waiter);
      changing.change();
      await waiting;
    }
  });

  it("wakes who waits for a time when it has come, and nobody else", async () => {
    const { clock, wakes } = start();
    const woken: string[] = [];
    const early = wakes.wait(1_000, createWaiter()).then(() => woken.push("early"));
    void wakes.wait(5_000, createWaiter()).then(() => woken.push("late"));

    await clock.whenSleeping(1);
    clock.advance(1_000);
    await early;

    expect(woken).toEqual(["early"]);
  });

  it("lets go whoever is let go, at once and once only", async () => {
    const { changing, wakes } = start();
    const waiter = createWaiter();
    const waiting = wakes.wait(9_000, waiter);

    waiter.letGo();
    await waiting;
    waiter.letGo();
    changing.change();
    await turn();
  });
});
