import { describe, expect, it } from "vitest";
import { ManualClock } from "../../shared/clock.ts";
import { DeadlineSweep } from "./sweep.ts";

function watch(sweep: DeadlineSweep, deadlineMs: number) {
  const watched = {
    deadlineMs,
    calls: 0,
    onDeadline() {
      watched.calls += 1;
    },
  };
  sweep.add(watched);
  return watched;
}

describe("DeadlineSweep", () => {
  it("calls once when a deadline has passed, and forgets", () => {
    const clock = new ManualClock();
    const sweep = new DeadlineSweep(clock, 0);
    const watched = watch(sweep, 10);

    clock.advance(9);
    sweep.look();
    expect(watched.calls).toBe(0);
    clock.advance(1);
    sweep.look();
    sweep.look();

    expect(watched.calls).toBe(1);
    expect(sweep.size).toBe(0);
  });

  it("calls none that another one has taken away whose deadline passed with its own", () => {
    const clock = new ManualClock();
    const sweep = new DeadlineSweep(clock, 0);
    const first = watch(sweep, 10);
    const second = watch(sweep, 10);
    first.onDeadline = () => sweep.remove(second);

    clock.advance(10);
    sweep.look();

    expect(second.calls).toBe(0);
  });

  it("heeds a deadline that was moved, and one that was taken away", () => {
    const clock = new ManualClock();
    const sweep = new DeadlineSweep(clock, 0);
    const moved = watch(sweep, 10);
    const removed = watch(sweep, 10);
    moved.deadlineMs = 20;
    sweep.remove(removed);

    clock.advance(10);
    sweep.look();

    expect([moved.calls, removed.calls]).toEqual([0, 0]);
  });
});
