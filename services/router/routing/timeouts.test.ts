import { describe, expect, it } from "vitest";
import { shorten } from "./timeouts.ts";

const ALLOWED = { connectMs: 10, firstTokenMs: 20, idleMs: 30, totalMs: 40 };

describe("shorten()", () => {
  it("takes what a caller asks where that is shorter, and what is allowed where it is longer", () => {
    expect(shorten(ALLOWED, { firstTokenMs: 5, totalMs: 1_000 })).toEqual({ ...ALLOWED, firstTokenMs: 5 });
  });

  it("makes nothing new for a caller who asks nothing", () => {
    expect(shorten(ALLOWED, undefined)).toBe(ALLOWED);
  });
});
