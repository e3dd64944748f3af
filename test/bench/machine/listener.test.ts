import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { checkListener, refuseTakenPort } from "./listener.ts";

describe("listener", () => {
  it("a port that something listens on is refused, and its owner is told from others", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      expect(() => refuseTakenPort(port, "relay")).toThrow(`port ${port}`);
      expect(() => checkListener(port, "relay", [process.pid])).not.toThrow();
      expect(() => checkListener(port, "relay", [1])).toThrow("not the process that was started");
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(() => refuseTakenPort(port, "relay")).not.toThrow();
    expect(() => checkListener(port, "relay", [process.pid])).toThrow();
  });
});
