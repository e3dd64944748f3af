import { describe, expect, it } from "vitest";
import { runAtOnce, runInSlices, type Steps } from "./slices.ts";

function* count(steps: number, onStep: () => void = () => undefined): Steps<number> {
  let done = 0;
  while (done < steps) {
    onStep();
    done += 1;
    yield;
  }
  return done;
}

/** Keeps the processor busy for longer than a slice. */
function work(): void {
  const untilMs = performance.now() + 4;
  while (performance.now() < untilMs);
}

describe("slices", () => {
  it("both ways of doing the work come to the same result", async () => {
    expect([runAtOnce(count(7)), await runInSlices(count(7))]).toEqual([7, 7]);
  });

  it("what waits for the event loop gets a turn between two slices", async () => {
    let turns = 0;
    let isOver = false;
    const turn = () => {
      turns += 1;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);

    await runInSlices(count(5, work));
    isOver = true;

    expect(turns).toBeGreaterThanOrEqual(4);
  });

  it("what the work throws rejects", async () => {
    const fail = () => {
      throw new Error("broken");
    };
    await expect(runInSlices(count(1, fail))).rejects.toThrow("broken");
    expect(() => runAtOnce(count(1, fail))).toThrow("broken");
  });
});
