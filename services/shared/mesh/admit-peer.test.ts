import { EventEmitter } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { admitPeer, askToLeave } from "./admit-peer.ts";

const DAY_MS = 86_400_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A connection under TLS, with a certificate that is good for so long from now, or none. */
class FakeSocket extends EventEmitter {
  readonly authorized: boolean;
  readonly #goodForMs: number | undefined;
  destroyed = false;

  constructor(authorized: boolean, goodForMs?: number) {
    super();
    this.authorized = authorized;
    this.#goodForMs = goodForMs;
  }

  getPeerX509Certificate() {
    if (this.#goodForMs === undefined) return undefined;
    return { subjectAltName: undefined, validTo: new Date(Date.now() + this.#goodForMs).toISOString() };
  }

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

const admit = (socket: FakeSocket) => admitPeer(socket as unknown as TLSSocket, "weir.local");

describe("admitPeer()", () => {
  it("ends the connection of a peer whose certificate does not verify, and lets in one that has none", () => {
    const [broken, none] = [new FakeSocket(false, DAY_MS), new FakeSocket(false)];

    expect([admit(broken), admit(none)]).toEqual([false, true]);
    expect([broken.destroyed, none.destroyed]).toEqual([true, false]);
  });

  it.each([
    ["an hour", DAY_MS / 24],
    ["longer than a timer of Node's can wait", 60 * DAY_MS],
  ])("cuts a peer when its certificate ends, in %s, and not before", (_, goodForMs) => {
    const socket = new FakeSocket(true, goodForMs);
    expect(admit(socket)).toBe(true);

    vi.advanceTimersByTime(goodForMs - 1);
    expect(socket.destroyed).toBe(false);
    vi.advanceTimersByTime(1);

    expect(socket.destroyed).toBe(true);
  });

  it("waits no longer for the end of a connection that has closed", () => {
    const socket = new FakeSocket(true, DAY_MS);
    admit(socket);

    socket.destroy();

    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("askToLeave()", () => {
  it("asks a peer to go a second before its certificate ends", () => {
    const socket = new FakeSocket(true, DAY_MS);
    admit(socket);
    const close = vi.fn();
    askToLeave(Object.assign(new EventEmitter(), { socket, close }) as unknown as ServerHttp2Session);

    vi.advanceTimersByTime(DAY_MS - 1_001);
    expect(close).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);

    expect(close).toHaveBeenCalledOnce();
    expect(socket.destroyed).toBe(false);
  });
});
