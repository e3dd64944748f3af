import { describe, expect, it } from "vitest";
import { Health } from "./health.ts";

describe("Health", () => {
  it("begins as not ready and says so to its gauge", () => {
    const seen: number[] = [];

    const health = new Health({ gauge: { set: (value) => seen.push(value) } });
    health.setReady("snapshot 1");
    health.setNotReady("database is away");

    expect(seen).toEqual([0, 1, 0]);
    expect(health.readiness).toEqual({ ready: false, reason: "database is away" });
  });

  it("is never ready again once it drains", () => {
    const health = new Health();

    health.drain();
    health.setReady();

    expect(health.readiness).toEqual({ ready: false, reason: "draining" });
    expect(health.draining.aborted).toBe(true);
  });

  it("tells a watcher the state now, then the newest at each change, and ends when it drains", async () => {
    const health = new Health();
    const watch = health.watch(new AbortController().signal);

    const first = await watch.next();
    health.setReady("a");
    health.setReady("b");
    const second = await watch.next();
    health.drain();
    const third = await watch.next();
    const end = await watch.next();

    expect([first, second, third].map(({ value }) => value?.reason)).toEqual(["starting", "b", "draining"]);
    expect(end.done).toBe(true);
  });

  it("lets a watcher go when its signal aborts", async () => {
    const health = new Health();
    const abort = new AbortController();
    const watch = health.watch(abort.signal);
    await watch.next();
    const next = watch.next();

    abort.abort();

    expect((await next).done).toBe(true);
  });
});
