import { describe, expect, it } from "vitest";
import { LimitCounters } from "./counters.ts";

const limit = (id: string, subject: string, requestsPerMinute: number) => ({
  id,
  subject,
  requestsPerMinute,
  counter: `${id}\n${subject}`,
});

describe("LimitCounters", () => {
  it("a call counts with all its limits or with none", () => {
    const counters = new LimitCounters();
    const wide = limit("team", "acme/search", 10);
    const narrow = limit("key", "own a", 1);
    expect(counters.count([wide, narrow], 0)).toBeUndefined();
    for (let index = 0; index < 50; index++) expect(counters.count([wide, narrow], 0)?.limit).toBe(narrow);
    for (let index = 0; index < 9; index++) expect(counters.count([wide], 0)).toBeUndefined();
    expect(counters.count([wide], 0)?.limit).toBe(wide);
  });

  it("of several that are used up it names the one to wait for longest", () => {
    const counters = new LimitCounters();
    const [slow, fast] = [limit("slow", "a", 1), limit("fast", "a", 2)];
    counters.count([fast], 0);
    counters.count([slow, fast], 0);
    expect(counters.count([fast, slow], 0)).toEqual({ limit: slow, retryAfterMs: 60_000 });
  });

  it("subjects do not share a counter, and neither do limits", () => {
    const counters = new LimitCounters();
    for (const [id, subject] of ["ab", "ba", "aa", "bb"].map((pair) => [...pair])) {
      expect(counters.count([limit(id!, subject!, 1)], 0)).toBeUndefined();
    }
  });

  it("forgets who has been silent, and never holds more than its bound", () => {
    const counters = new LimitCounters(100);
    for (let index = 0; index < 1_000; index++) counters.count([limit("key", String(index), 60)], 0);
    expect(counters.size).toBeLessThanOrEqual(101);
    for (let index = 0; index < 200; index++) counters.count([limit("key", "one", 1_000)], 120_000);
    expect(counters.size).toBe(1);
  });
});
