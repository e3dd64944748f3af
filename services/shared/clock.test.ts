import { describe, expect, it } from "vitest";
import { ManualClock, systemClock } from "./clock.ts";

describe("ManualClock", () => {
  it("stands still until it is advanced", () => {
    const clock = new ManualClock(1000);

    clock.advance(5);

    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1005, 5]);
  });

  it("wakes sleepers in order of their time, and only those whose time has come", async () => {
    const clock = new ManualClock();
    const woken: number[] = [];
    const slow = clock.sleep(20).then(() => woken.push(20));
    const fast = clock.sleep(10).then(() => woken.push(10));
    void clock.sleep(30).then(() => woken.push(30));

    clock.advance(20);
    await Promise.all([slow, fast]);

    expect(woken).toEqual([10, 20]);
  });

  it("tells when somebody sleeps", async () => {
    const clock = new ManualClock();
    const slept = (async () => {
      await Promise.resolve();
      await clock.sleep(10);
      return "awake";
    })();

    await clock.whenSleeping();
    clock.advance(10);

    await expect(slept).resolves.toBe("awake");
  });

  it("rejects an aborted sleep with the signal's reason", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const slept = clock.sleep(10, abort.signal);

    abort.abort(new Error("enough"));

    await expect(slept).rejects.toThrow("enough");
  });
});

describe("systemClock", () => {
  it("rejects an aborted sleep with the signal's reason", async () => {
    const abort = new AbortController();
    const slept = systemClock.sleep(3_600_000, abort.signal);

    abort.abort(new Error("enough"));

    await expect(slept).rejects.toThrow("enough");
  });

  it("sleeps until its time", async () => {
    const before = systemClock.monotonicMs();

    await systemClock.sleep(2);

    expect(systemClock.monotonicMs()).toBeGreaterThan(before);
  });
});
