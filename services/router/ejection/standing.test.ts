import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TargetFault } from "../providers/fault.ts";
import {
  EJECTION,
  findAbsence,
  findLoneTryMs,
  getShare,
  isDue,
  noteAnswer,
  noteContent,
  noteFault,
  type Standing,
} from "./standing.ts";

const SEED = "eu-1 a/large";
/** Later than everything: what an attempt that began now shows. */
const at = (nowMs: number, startedMs = nowMs) => ({ nowMs, startedMs });
const fault = (
  standing: Standing | undefined,
  kind: TargetFault,
  nowMs: number,
  rest: { retryAfterMs?: number; startedMs?: number } = {},
) => noteFault(standing, { fault: kind, retryAfterMs: rest.retryAfterMs, seed: SEED, ...at(nowMs, rest.startedMs) });

/** A target that has shown the faults, one each millisecond from 0. */
function standAfter(...faults: TargetFault[]): Standing {
  let standing: Standing | undefined;
  for (const [index, kind] of faults.entries()) standing = fault(standing, kind, index);
  return standing as Standing;
}
const times = (count: number, kind: TargetFault) => new Array<TargetFault>(count).fill(kind);

describe("a target in good standing", () => {
  it.each<[TargetFault, number]>([
    ["failed", 5],
    ["unreachable", 3],
    ["credential", 3],
    ["quota", 3],
    ["model", 3],
  ])("is ejected by %s only after %i in a row", (kind, count) => {
    expect(standAfter(...times(count - 1, kind)).state).toBe("good");
    expect(standAfter(...times(count, kind))).toMatchObject({ state: "out", cause: kind, ejections: 1 });
  });

  it("is ejected by five faults of different kinds, three connections among them only in a row", () => {
    expect(standAfter("unreachable", "unreachable", "failed", "unreachable").state).toBe("good");
    expect(standAfter("unreachable", "unreachable", "failed", "unreachable", "failed").state).toBe("out");
  });

  it("starts a new row after a whole answer, and not after content that may still be cut", () => {
    const standing = standAfter(...times(4, "failed"));

    expect(noteAnswer(standing, at(10))).toBeUndefined();
    expect(fault(noteContent(standing, at(10)), "failed", 11).state).toBe("out");
  });

  it("goes on with the row when what is answered began before it", () => {
    const standing = noteAnswer(standAfter(...times(4, "failed")), at(10, -5_000));

    expect(fault(standing, "failed", 11).state).toBe("out");
  });

  it("is never ejected by rate limits and overload, however many", () => {
    let standing = standAfter(...times(4, "failed"));
    for (let count = 0; count < 1_000; count++)
      standing = fault(standing, count % 2 ? "limited" : "overloaded", 10 + count);

    expect(standing).toMatchObject({ state: "good", failures: 4 });
  });
});

describe("a target that has had enough", () => {
  it.each([
    [undefined, 1_000],
    [0, 0],
    [7_000, 7_000],
    [3_600_000, 600_000],
  ])("that asks for %s ms is left alone for %i ms", (retryAfterMs, expected) => {
    const standing = fault(undefined, "limited", 50, retryAfterMs === undefined ? {} : { retryAfterMs });

    if (expected > 0) expect(findAbsence(standing, 50 + expected - 1)).toBe("cooling");
    expect(findAbsence(standing, 50 + expected)).toBeUndefined();
  });

  it("keeps the later of two deadlines, whichever came first", () => {
    const long = fault(undefined, "limited", 0, { retryAfterMs: 30_000 });
    const short = fault(undefined, "limited", 0, { retryAfterMs: 2_000 });

    expect(fault(long, "limited", 1, { retryAfterMs: 2_000 }).coolUntilMs).toBe(30_000);
    expect(fault(short, "limited", 1, { retryAfterMs: 30_000 }).coolUntilMs).toBe(30_001);
  });

  it("is asked by all again at once when the time is over", () => {
    expect(getShare(fault(undefined, "limited", 0), 1_000)).toBe(1);
  });
});

describe("a target that is out", () => {
  /** How long the nth ejection in a row lasts. */
  const outMs = (kind: TargetFault, count: number, seed = SEED): number => {
    let standing: Standing | undefined;
    let nowMs = 0;
    for (let ejection = 0; ejection < count; ejection++) {
      nowMs = Math.max(nowMs, standing?.outUntilMs ?? 0);
      for (let index = 0; index < (ejection === 0 ? 5 : 1) && standing?.sinceMs !== nowMs + 1; index++) {
        standing = noteFault(standing, { fault: kind, retryAfterMs: undefined, seed, startedMs: nowMs, nowMs });
        if (standing.state === "out" && standing.ejections === ejection + 1) break;
      }
    }
    return standing!.outUntilMs - nowMs;
  };

  it.each<[TargetFault, readonly number[]]>([
    ["failed", [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]],
    ["credential", [60_000, 120_000, 240_000, 480_000, 900_000, 900_000]],
  ])("by %s stays out for twice as long each time, up to a bound, less at most a quarter", (kind, whole) => {
    for (const [index, wholeMs] of whole.entries()) {
      const ms = outMs(kind, index + 1);

      expect(ms).toBeLessThanOrEqual(wholeMs);
      expect(ms).toBeGreaterThanOrEqual(wholeMs * (1 - EJECTION.jitter));
    }
  });

  it("stays out for a time that is drawn alike again, and otherwise by another router", () => {
    expect(outMs("failed", 2)).toBe(outMs("failed", 2));
    expect(new Set(["eu-1 a", "eu-2 a", "eu-3 a", "eu-1 b"].map((seed) => outMs("failed", 1, seed))).size).toBe(4);
  });

  it("is due when its time is over", () => {
    const standing = standAfter(...times(5, "failed"));

    expect(findAbsence(standing, standing.outUntilMs - 1)).toBe("out");
    expect(isDue(standing, standing.outUntilMs - 1)).toBe(false);
    expect(isDue(standing, standing.outUntilMs)).toBe(true);
  });

  it("learns nothing of attempts that began before it was ejected", () => {
    const standing = standAfter(...times(5, "failed"));
    const dueMs = standing.outUntilMs;

    expect(fault(standing, "failed", dueMs, { startedMs: 3 })).toBe(standing);
    expect(noteAnswer(standing, at(dueMs, 3))).toBe(standing);
  });

  it("is not out for longer by those who try it early for want of anything better", () => {
    const standing = standAfter(...times(5, "failed"));

    for (let nowMs = 10; nowMs < 1_000; nowMs++) expect(fault(standing, "failed", nowMs)).toBe(standing);
  });

  it("stays out longer by a probe that fails, and is left alone by one that finds it limited", () => {
    const standing = standAfter(...times(5, "failed"));
    const dueMs = standing.outUntilMs;

    expect(fault(standing, "failed", dueMs).ejections).toBe(2);
    const limited = fault(standing, "limited", dueMs, { retryAfterMs: 3_000 });
    expect([isDue(limited, dueMs + 2_999), isDue(limited, dueMs + 3_000)]).toEqual([false, true]);
    expect(limited.ejections).toBe(1);
  });

  it("may be tried every two seconds by who has nowhere else to go, and by all of them within two after an answer", () => {
    const standing = standAfter(...times(5, "failed"));

    const never = { lastMs: Number.NEGATIVE_INFINITY, dueMs: Number.NEGATIVE_INFINITY };

    expect(findLoneTryMs(standing, never, 1_000)).toBe(1_000);
    expect(findLoneTryMs(standing, never, 2_000)).toBe(standing.sinceMs + 2_000);
    expect(findLoneTryMs(standing, { ...never, lastMs: 3_000 }, 3_500)).toBe(5_000);
  });

  it("may be tried by all who have nowhere else to go within two seconds after the first, once its time is over", () => {
    const standing = standAfter(...times(5, "failed"));
    const dueMs = standing.outUntilMs + 1_000;

    const tryMs = [0, 1_999, 2_000].map((ms) => findLoneTryMs(standing, { lastMs: dueMs, dueMs }, dueMs + ms) - dueMs);

    expect(tryMs).toEqual([0, 1_999, 2_000]);
    expect(findLoneTryMs(standing, { lastMs: dueMs + 2_500, dueMs }, dueMs + 3_000)).toBe(dueMs + 4_500);
  });
});

describe("a target that comes back", () => {
  const returned = () => {
    const standing = standAfter(...times(5, "failed"));
    return { standing: noteContent(standing, at(standing.outUntilMs)), fromMs: standing.outUntilMs };
  };

  it("is asked by a tenth at first, and by all after ten seconds", () => {
    const { standing, fromMs } = returned();

    expect(standing.state).toBe("returning");
    const shares = [0, 500, 1_000, 2_500, 5_000, 9_000, 10_000, 99_000].map((ms) => getShare(standing, fromMs + ms));
    expect(shares).toEqual([0.1, 0.1, 0.1, 0.25, 0.5, 0.9, 1, 1]);
  });

  it("is out again, for longer, by one more fault", () => {
    const { standing, fromMs } = returned();

    expect(fault(standing, "failed", fromMs + 100)).toMatchObject({ state: "out", ejections: 2 });
  });

  it("is out only by a row again once it has come back wholly, and for longer within a minute", () => {
    const { standing, fromMs } = returned();
    let later: Standing = noteAnswer(standing, at(fromMs + 10_000)) as Standing;
    for (let count = 0; count < 4; count++) later = fault(later, "failed", fromMs + 10_001 + count);

    expect(later.state).toBe("good");
    expect(fault(later, "failed", fromMs + 10_005)).toMatchObject({ state: "out", ejections: 2 });
  });

  it("is forgotten when it has done well for a minute", () => {
    const { standing, fromMs } = returned();

    expect(noteAnswer(standing, at(fromMs + 59_999))).toBeDefined();
    expect(noteAnswer(standing, at(fromMs + 60_000))).toBeUndefined();
  });

  it("is not out by attempts that began before it came back", () => {
    const { standing, fromMs } = returned();

    expect(fault(standing, "failed", fromMs + 100, { startedMs: fromMs - 1 })).toBe(standing);
    expect(fault(standing, "failed", fromMs + 10_100, { startedMs: fromMs - 1 }).state).toBe("good");
  });
});

describe("any history", () => {
  const step = fc.record({
    what: fc.constantFrom(
      "failed",
      "unreachable",
      "limited",
      "overloaded",
      "credential",
      "quota",
      "model",
      "content",
      "answer",
    ),
    afterMs: fc.integer({ min: 0, max: 20_000 }),
    tookMs: fc.integer({ min: 0, max: 30_000 }),
    retryAfterMs: fc.option(fc.integer({ min: 0, max: 700_000 }), { nil: undefined }),
  });

  it("keeps deadlines from moving forward, is ejected by rows alone, and always comes due within its bounds", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        let standing: Standing | undefined;
        let nowMs = 0;
        // What a row takes at least, whatever answers came in between that began before it.
        let sick = 0;
        for (const { what, afterMs, tookMs, retryAfterMs } of steps) {
          nowMs += afterMs;
          const sighting = at(nowMs, nowMs - tookMs);
          const earlier = standing;
          if (what === "content") standing = standing && noteContent(standing, sighting);
          else if (what === "answer") standing = standing && noteAnswer(standing, sighting);
          else standing = noteFault(standing, { fault: what as TargetFault, retryAfterMs, seed: SEED, ...sighting });

          if (!["content", "answer", "limited", "overloaded"].includes(what)) sick += 1;
          if (standing === undefined) continue;
          if (earlier !== undefined) {
            expect(standing.coolUntilMs).toBeGreaterThanOrEqual(earlier.coolUntilMs);
            if (standing.state === "out") expect(standing.outUntilMs).toBeGreaterThanOrEqual(earlier.outUntilMs);
          }
          if (standing.state === "out" && (earlier === undefined || earlier.state === "good")) {
            expect(sick).toBeGreaterThanOrEqual(EJECTION.unreachable);
            sick = 0;
            expect(["limited", "overloaded", "content", "answer"]).not.toContain(what);
          }
          expect(standing.outUntilMs - nowMs).toBeLessThanOrEqual(EJECTION.longestRefusedMs);
          expect(standing.coolUntilMs - nowMs).toBeLessThanOrEqual(EJECTION.longestCoolingMs);
          expect(getShare(standing, nowMs)).toBeGreaterThanOrEqual(EJECTION.leastShare);
        }
      }),
    );
  });
});
