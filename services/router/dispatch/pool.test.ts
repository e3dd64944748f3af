import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Dispatcher } from "undici";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Pool, type PooledCall } from "./pool.ts";

/** A call that tells how it ended. */
class TestCall implements PooledCall {
  readonly ended: Promise<"end" | Error>;
  readonly answered: Promise<void>;
  readonly #end: (how: "end" | Error) => void;
  readonly #answer: () => void;
  controller: Dispatcher.DispatchController | undefined;
  isOver = false;
  isSent: boolean | undefined;
  text = "";
  onEnd: () => void = () => undefined;
  /** What the pool said when it took it. */
  waits: boolean | undefined;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<"end" | Error>();
    const answered = Promise.withResolvers<void>();
    this.ended = promise;
    this.answered = answered.promise;
    this.#end = resolve;
    this.#answer = answered.resolve;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
  }
  onResponseStart(): void {
    this.#answer();
  }
  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.text += chunk.toString();
  }
  onResponseEnd(_: Dispatcher.DispatchController, __: unknown, isSent = false): void {
    this.isSent = isSent;
    this.onEnd();
    this.#end("end");
  }
  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.onEnd();
    this.#end(error);
  }
}

describe("Pool", () => {
  let server: Server;
  let pool: Pool;
  const sockets = new Map<Socket, number>();
  const arrived: { readonly body: string; readonly connection: number; readonly response: ServerResponse }[] = [];
  let waiting: (() => void) | undefined;
  let answers: (response: ServerResponse, body: string) => void;

  beforeEach(async () => {
    sockets.clear();
    arrived.length = 0;
    answers = (response) => response.end("ok");
    server = createServer((request: IncomingMessage, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on("end", () => {
        const connection = sockets.get(request.socket) ?? sockets.size;
        sockets.set(request.socket, connection);
        arrived.push({ body, connection, response });
        answers(response, body);
        waiting?.();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    pool = open(2);
  });

  afterEach(async () => {
    await pool.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const open = (connections: number) =>
    new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      connections,
      connectTimeoutMs: 5_000,
      keepAliveMs: 60_000,
      headBytes: 8_192,
    });
  const send = (body: string) => {
    const call = new TestCall();
    call.waits = pool.dispatch({ path: "/", method: "POST", headers: [], body: Buffer.from(body) }, call);
    return call;
  };
  const whenArrived = async (count: number) => {
    while (arrived.length < count) {
      await new Promise<void>((resolve) => {
        waiting = resolve;
      });
    }
  };

  it("takes the connection that became free last", async () => {
    answers = () => undefined;
    const first = send("1");
    await whenArrived(1);
    const second = send("2");
    await whenArrived(2);
    expect(pool.count()).toMatchObject({ busy: 2, free: 0 });
    arrived[0]!.response.end("one");
    await first.ended;
    arrived[1]!.response.end("two");
    await second.ended;
    expect(pool.count()).toMatchObject({ busy: 0, free: 2 });
    answers = (response) => response.end();

    for (let i = 0; i < 3; i += 1) await send("next").ended;

    expect([first.text, second.text]).toEqual(["one", "two"]);
    expect(arrived.slice(2).map(({ connection }) => connection)).toEqual([1, 1, 1]);
  });

  it("lets a call wait when there are too many, and forgets those that nobody waits for", async () => {
    answers = () => undefined;
    const calls = ["1", "2", "3", "4"].map(send);
    await whenArrived(2);
    expect(pool.count()).toMatchObject({ busy: 2, free: 0 });
    expect(calls.map(({ waits }) => waits)).toEqual([false, false, true, true]);
    calls[2]!.isOver = true;

    arrived[0]!.response.end();
    await whenArrived(3);

    expect(arrived.map(({ body }) => body).sort()).toEqual(["1", "2", "4"]);
    expect(sockets.size).toBe(2);
  });

  it("keeps no calls that nobody waits for, however long all connections are in use", async () => {
    answers = () => undefined;
    ["1", "2"].map(send);
    await whenArrived(2);

    for (let i = 0; i < 100; i += 1) send("given up").isOver = true;

    expect(pool.count()).toEqual({ busy: 2, free: 0, waiting: 1 });
  });

  it("gives a place that a broken call leaves to the next one", async () => {
    answers = (response, body) => (body === "next" ? response.end() : undefined);
    const calls = [send("1"), send("2")];
    await whenArrived(2);
    const next = send("next");

    calls[0]!.controller?.abort(new Error("no longer wanted"));

    expect(await calls[0]!.ended).toBeInstanceOf(Error);
    expect(await next.ended).toBe("end");
    expect(sockets.size).toBe(3);
  });

  it("can be asked for more while a call ends", async () => {
    const first = send("1");
    let second: TestCall | undefined;
    first.onEnd = () => {
      second = send("2");
    };

    await first.ended;

    expect(await second?.ended).toBe("end");
    expect(sockets.size).toBe(1);
  });

  it("connects anew where the provider closes after each answer", async () => {
    answers = (response) => response.writeHead(200, { connection: "close" }).end("ok");

    for (let i = 0; i < 5; i += 1) expect(await send(String(i)).ended).toBe("end");

    expect(sockets.size).toBe(5);
    expect(pool.count().busy).toBe(0);
  });

  it("forgets a connection that the provider closes while nobody uses it", async () => {
    await send("1").ended;
    expect(pool.count()).toEqual({ busy: 0, free: 1, waiting: 0 });

    server.closeAllConnections();
    await vi.waitFor(() => expect(pool.count()).toEqual({ busy: 0, free: 0, waiting: 0 }));
  });

  it("tells of what can't be reached, and keeps nothing of it", async () => {
    const { port } = server.address() as AddressInfo;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));

    const calls = ["1", "2", "3", "4", "5"].map(send);
    for (const call of calls) expect(await call.ended).toBeInstanceOf(Error);

    expect(pool.count()).toEqual({ busy: 0, free: 0, waiting: 0 });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  });

  it("tells of what it can't send, and keeps nothing of it", async () => {
    for (let i = 0; i < 5; i += 1) {
      const call = new TestCall();
      pool.dispatch({ path: "no path", method: "POST" }, call);
      expect(await call.ended).toBeInstanceOf(Error);
    }

    expect(pool.count()).toEqual({ busy: 0, free: 0, waiting: 0 });
  });

  it("says whether all of a request was sent when its answer is whole", async () => {
    const small = send("small");
    await small.ended;
    expect(small.isSent).toBe(true);

    // A provider that answers at once and does not read.
    server.removeAllListeners("request");
    server.on("request", (_, response: ServerResponse) => response.end("early"));
    const large = send("x".repeat(50_000_000));
    await large.ended;

    expect(large.isSent).toBe(false);
  });

  it("closes when its calls are over, those that wait included", async () => {
    answers = () => undefined;
    const calls = ["1", "2", "3"].map(send);
    await whenArrived(2);

    pool.close();
    for (let i = 0; i < 3; i += 1) {
      await whenArrived(i + 1);
      arrived[i]!.response.end();
    }

    for (const call of calls) expect(await call.ended).toBe("end");
    expect(pool.count()).toEqual({ busy: 0, free: 0, waiting: 0 });
  });
});
