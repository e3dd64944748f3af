import { describe, expect, it } from "vitest";
import { BodyBuffers } from "./body-buffers.ts";

describe("BodyBuffers", () => {
  it("gives out memory again that was given back, for bodies of about that size", () => {
    const buffers = new BodyBuffers();
    const first = buffers.allocate(35_000);

    expect(first).toHaveLength(35_000);
    expect(buffers.allocate(35_000).buffer).not.toBe(first.buffer);
    buffers.give(first);

    expect(buffers.allocate(9_000).buffer).not.toBe(first.buffer);
    const second = buffers.allocate(40_000);
    expect(second.buffer).toBe(first.buffer);
    expect(second).toHaveLength(40_000);
  });

  it("keeps at most 128 of a size", () => {
    const buffers = new BodyBuffers();
    const bodies = Array.from({ length: 130 }, () => buffers.allocate(35_000));
    for (const body of bodies) buffers.give(body);

    const again = bodies.map(() => buffers.allocate(35_000));

    const known = new Set(bodies.map(({ buffer }) => buffer));
    expect(again.filter(({ buffer }) => known.has(buffer))).toHaveLength(128);
  });

  it("keeps nothing that is not its own", () => {
    const buffers = new BodyBuffers();
    const foreign = Buffer.allocUnsafeSlow(64 * 1024);

    buffers.give(foreign);

    expect(buffers.allocate(40_000).buffer).not.toBe(foreign.buffer);
  });

  it("lets the runtime have small and very large ones", () => {
    const buffers = new BodyBuffers();
    for (const size of [100, 4_096, 65_537]) {
      const body = buffers.allocate(size);
      buffers.give(body);

      expect(body).toHaveLength(size);
      expect(buffers.allocate(size)).not.toBe(body);
    }
  });
});
