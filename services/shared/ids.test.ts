import { describe, expect, it } from "vitest";
import { createBootId, createEventId, createKeyId, eventIdMs } from "./ids.ts";

describe("createEventId()", () => {
  it("makes a UUIDv7 that keeps its instant", () => {
    const future = Date.UTC(2050, 0, 1);

    const id = createEventId(future);

    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(eventIdMs(id)).toBe(future);
  });

  it("rises within a millisecond, past the end of its counter, and when the clock goes back", () => {
    const instant = Date.UTC(2051, 0, 1);

    const ids = Array.from({ length: 10_000 }, (_, index) => createEventId(index % 7 === 0 ? instant - 5000 : instant));

    expect(ids).toEqual([...new Set(ids)].sort());
  });
});

describe("eventIdMs()", () => {
  it.each(["", "x", "0190a5d0-0000-4000-8000-000000000000", "0190A5D0-0000-7000-8000-000000000000"])(
    "refuses %j, which is no UUIDv7 in lower case",
    (id) => {
      expect(() => eventIdMs(id)).toThrow("is not a UUIDv7");
    },
  );
});

it("createBootId() and createKeyId() keep to their alphabet and do not repeat", () => {
  expect(createBootId()).toMatch(/^[a-z2-7]{26}$/);
  expect(createKeyId()).toMatch(/^[a-z2-7]{12}$/);
  expect(createBootId()).not.toBe(createBootId());
});
