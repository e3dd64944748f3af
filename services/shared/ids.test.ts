import { describe, expect, it } from "vitest";
import { createBootId, createEventId, createKeyId } from "./ids.ts";

describe("createEventId()", () => {
  it("makes a UUIDv7 that keeps its instant", () => {
    const future = Date.UTC(2050, 0, 1);

    const id = createEventId(future);

    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(id.slice(0, 13).replace("-", "")).toBe(future.toString(16).padStart(12, "0"));
  });

  it("rises within a millisecond, past the end of its counter, and when the clock goes back", () => {
    const instant = Date.UTC(2051, 0, 1);

    const ids = Array.from({ length: 10_000 }, (_, index) => createEventId(index % 7 === 0 ? instant - 5000 : instant));

    expect(ids).toEqual([...new Set(ids)].sort());
  });
});

it("createBootId() and createKeyId() keep to their alphabet and do not repeat", () => {
  expect(createBootId()).toMatch(/^[a-z2-7]{26}$/);
  expect(createKeyId()).toMatch(/^[a-z2-7]{12}$/);
  expect(createBootId()).not.toBe(createBootId());
});
