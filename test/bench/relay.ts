/**
 * The yardstick: the leanest honest relay on node:http and undici `dispatch`. It knows no key, no limit and no account; it gathers the
 * body, sends it on, and passes status, content headers and bytes back with back-pressure. A caller who leaves cancels the provider's call.
 * Run with: node relay.ts <port> <provider origin>
 */
import { createServer, type OutgoingHttpHeaders } from "node:http";
import { type Dispatcher, Pool } from "undici";

const [port, origin] = process.argv.slice(2);
if (port === undefined || origin === undefined) throw new Error("Cannot relay: give a port and the provider's origin");

// A stream holds its connection to its end, so this many chats can be open at a time. Timeouts are off: they would only cost.
const pool = new Pool(origin, { connections: 8192, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  let provider: Dispatcher.DispatchController | undefined;
  let isAnswered = false;
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  response.on("close", () => {
    if (!isAnswered) provider?.abort(new Error("The caller has left"));
  });
  request.on("end", () => {
    const { authorization, "content-type": contentType } = request.headers;
    pool.dispatch(
      {
        path: request.url ?? "/",
        method: "POST",
        headers: { "content-type": contentType ?? "application/json", ...(authorization && { authorization }) },
        body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks),
      },
      {
        onRequestStart: (controller) => {
          provider = controller;
          if (response.destroyed) controller.abort(new Error("The caller has left"));
        },
        onResponseStart: (_, status, { "content-type": type, "content-length": length }) => {
          const head: OutgoingHttpHeaders = {};
          if (type !== undefined) head["content-type"] = String(type);
          if (length !== undefined) head["content-length"] = String(length);
          response.writeHead(status, head);
        },
        onResponseData: (controller, chunk) => {
          if (response.write(chunk)) return;
          controller.pause();
          response.once("drain", () => controller.resume());
        },
        onResponseEnd: () => {
          isAnswered = true;
          response.end();
        },
        onResponseError: () => {
          isAnswered = true;
          if (response.headersSent) response.destroy();
          else response.writeHead(502).end();
        },
      },
    );
  });
});
server.listen(Number(port), "127.0.0.1");
