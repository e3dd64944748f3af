import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../shared/clock.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import { BodyMemory } from "./body-memory.ts";
import { type ReadBody, readBody } from "./read-body.ts";

type Watched = { deadlineMs: number; onDeadline(): void };

function start({ limitBytes = 1_000, memoryBytes = 10_000_000, headers = {} } = {}) {
  const clock = new ManualClock();
  const memory = new BodyMemory(memoryBytes);
  const watched = new Set<Watched>();
  const deadlines = { add: (it: Watched) => void watched.add(it), remove: (it: Watched) => void watched.delete(it) };
  const request = Object.assign(new EventEmitter(), { headers }) as unknown as IncomingMessage & EventEmitter;
  const results: { error: WeirError | undefined; body: ReadBody | undefined }[] = [];
  readBody(request, { limitBytes, memory, deadlines, clock }, (error, body) => void results.push({ error, body }));
  const pass = (ms: number) => {
    clock.advance(ms);
    for (const one of [...watched]) if (one.deadlineMs <= clock.monotonicMs()) one.onDeadline();
  };
  return { request, memory, watched, results, pass };
}

describe("readBody()", () => {
  it("gives the bytes, which count until they are released, once", () => {
    const { request, memory, results, watched } = start();

    request.emit("data", Buffer.from("ab"));
    request.emit("data", Buffer.from("c"));
    request.emit("end");
    request.emit("close");

    expect(results).toHaveLength(1);
    expect(results[0]?.body?.bytes.toString()).toBe("abc");
    expect(memory.usedBytes).toBe(3);
    results[0]?.body?.release();
    results[0]?.body?.release();
    expect(memory.usedBytes).toBe(0);
    expect(watched.size).toBe(0);
  });

  it.each([
    ["announced as too large", "BODY_TOO_LARGE", { headers: { "content-length": "1001" } }, () => undefined],
    ["that grows too large", "BODY_TOO_LARGE", {}, ({ request }) => void request.emit("data", Buffer.alloc(1_001))],
    [
      "beyond the memory",
      "BODY_MEMORY_FULL",
      { memoryBytes: 9 },
      ({ request }) => void request.emit("data", Buffer.alloc(10)),
    ],
    ["whose caller leaves", "CALLER_GONE", {}, ({ request }) => void request.emit("close")],
    ["that never comes", "BODY_TOO_SLOW", {}, ({ pass }) => pass(10_000)],
  ] satisfies [string, string, object, (started: ReturnType<typeof start>) => void][])(
    "refuses a body %s with %s and keeps nothing of it",
    (_, reason, options, act) => {
      const started = start(options);

      act(started);
      started.request.emit("data", Buffer.from("more"));
      started.request.emit("end");

      expect(started.results).toMatchObject([{ error: { reason } }]);
      expect(started.memory.usedBytes).toBe(0);
      expect(started.watched.size).toBe(0);
    },
  );

  it("waits for a large body as long as it comes at 16 KiB a second, and not longer", () => {
    const { request, results, pass } = start({ limitBytes: 10_000_000 });
    for (let second = 0; second < 60; second += 1) {
      request.emit("data", Buffer.alloc(16_384));
      pass(1_000);
    }
    expect(results).toEqual([]);

    pass(12_000);

    expect(results).toMatchObject([{ error: { reason: "BODY_TOO_SLOW" } }]);
  });
});
