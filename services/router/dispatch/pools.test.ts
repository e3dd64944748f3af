import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Pools } from "./pools.ts";

const pools = new Pools({ connections: 4 });
afterEach(() => pools.close());

const upstream = (port: number, connectTimeoutMs = 5_000) => ({
  origin: `http://127.0.0.1:${port}`,
  connectTimeoutMs,
});

describe("Pools", () => {
  it("has one pool for all that reach an origin in the same time, and others for the rest", () => {
    const pool = pools.get(upstream(1));

    expect(pools.get(upstream(1))).toBe(pool);
    expect(pools.get(upstream(2))).not.toBe(pool);
    expect(pools.get(upstream(1, 200))).not.toBe(pool);
  });

  it("keeps the pools that are wanted, and begins anew with those that were not and come back", () => {
    const [kept, left] = [pools.get(upstream(1)), pools.get(upstream(2))];

    pools.keepOnly([upstream(1)]);

    expect(pools.get(upstream(1))).toBe(kept);
    expect(pools.get(upstream(2))).not.toBe(left);
  });

  it("closes the connections of a pool that is no longer wanted", async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const server = createServer((_, response) => response.end("ok"));
    server.on("connection", (socket) => socket.once("close", () => resolve()));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const reached = upstream((server.address() as AddressInfo).port);
    await new Promise<void>((ended, broken) => {
      pools.get(reached).dispatch(
        { path: "/", method: "POST", headers: [], body: "" },
        {
          isOver: false,
          onRequestStart: () => undefined,
          onResponseStart: () => undefined,
          onResponseData: () => undefined,
          onResponseEnd: () => ended(),
          onResponseError: (_, error) => broken(error),
        },
      );
    });
    expect(pools.count()).toEqual({ busy: 0, free: 1 });

    pools.keepOnly([]);

    await closed;
    expect(pools.count()).toEqual({ busy: 0, free: 0 });
    await new Promise((stopped) => server.close(stopped));
  });
});
