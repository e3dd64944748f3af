import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, createConnection } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StreamBody } from "./stream-body.ts";

let answer: (response: ServerResponse) => void;
const server = createServer((_, response) => answer(response));
let port = 0;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Asks node's own client, whose parser is strict. Resolves with what it read; rejects when the body was cut. */
async function ask(): Promise<Buffer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request({ port, host: "127.0.0.1" }, resolve).once("error", reject).end(),
  );
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Everything that comes on a connection for a request written by hand, until its end. */
function askRaw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write(text));
    let read = "";
    socket.on("data", (data) => {
      read += data.toString("latin1");
    });
    socket.once("end", () => resolve(read)).once("error", reject);
  });
}

describe("StreamBody", () => {
  it("brings any pieces to a client as they are, on connections that are used again", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
        fc.nat({ max: 20_000 }),
        fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined }),
        async (pieces, large, last) => {
          const sent = [...pieces.map((piece) => Buffer.from(piece)), Buffer.alloc(large, "x")];
          answer = (response) => {
            response.writeHead(200, ["content-type", "text/event-stream"]);
            const body = new StreamBody(response);
            for (const piece of sent) body.write(piece);
            body.end(last && Buffer.from(last));
          };

          expect(await ask()).toEqual(Buffer.concat([...sent, Buffer.from(last ?? [])]));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("says of a response that is destroyed that it was cut", async () => {
    answer = (response) => {
      response.writeHead(200);
      new StreamBody(response).write(Buffer.from("data: 1\n\n"), () => response.destroy());
    };

    await expect(ask()).rejects.toThrow(/aborted/);
  });

  it("waits behind the earlier answer of a connection, and goes on in order once that is over", async () => {
    const begun: ServerResponse[] = [];
    answer = (response) => {
      begun.push(response);
      response.writeHead(200);
      const body = new StreamBody(response);
      body.write(Buffer.from("a"));
      body.write(Buffer.from("b"));
      if (begun.length === 1) return;
      // What waited goes to the socket right after it is there.
      response.once("socket", () => {
        process.nextTick(() => {
          body.write(Buffer.from("c"));
          body.end();
        });
      });
      begun[0]?.end("0\r\n\r\n");
    };

    const read = await askRaw(
      "GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );

    expect(read.split("\r\n\r\n")[1]).toBe("1\r\na\r\n1\r\nb\r\n0");
    expect(read.split("\r\n\r\n")[3]).toBe("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0");
  });

  it("says when its reader is slower, and when it has caught up", async () => {
    const piece = Buffer.alloc(4_000, "x");
    let hasWaited = false;
    answer = (response) => {
      response.writeHead(200);
      const body = new StreamBody(response);
      body.write(piece);
      // More than the kernel takes for a reader that reads nothing.
      for (let sent = 0; sent < 16 * 2 ** 20; sent += piece.length) hasWaited = !body.write(piece) || hasWaited;
      body.onceDrained(() => body.end(Buffer.from("caught up")));
    };

    const read = await ask();

    expect(hasWaited).toBe(true);
    expect(read.subarray(-9).toString()).toBe("caught up");
  });

  it("frames nothing for a caller of HTTP/1.0, whose body ends with its connection", async () => {
    answer = (response) => {
      response.writeHead(200);
      const body = new StreamBody(response);
      body.write(Buffer.from("data: 1\n\n"));
      body.end(Buffer.from("data: [DONE]\n\n"));
    };

    const read = await askRaw("GET / HTTP/1.0\r\n\r\n");

    expect(read.split("\r\n\r\n")[1]).toBe("data: 1\n\ndata: [DONE]\n\n");
  });
});
