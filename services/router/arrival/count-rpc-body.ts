import type { IncomingMessage, ServerResponse } from "node:http";
import type { BodyMemory } from "./body-memory.ts";

/**
 * Counts the body of an RPC against the memory for bodies, from its first byte until its answer is over. The RPC library reads a
 * message whole before any handler runs, so it is counted where node hands the bytes in. Beyond the memory the caller gets 503,
 * which every client of gRPC and Connect takes for UNAVAILABLE.
 */
export function countRpcBody(request: IncomingMessage, response: ServerResponse, memory: BodyMemory): void {
  const push = request.push.bind(request);
  let counted = 0;
  let refused = false;
  request.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (refused) return true;
    if (chunk !== null) {
      try {
        memory.take(chunk.length);
        counted += chunk.length;
      } catch {
        refused = true;
        refuse(request, response);
        return true;
      }
    }
    return push(chunk, encoding);
  };
  response.once("close", () => {
    memory.give(counted);
    counted = 0;
    refused = true;
  });
}

function refuse(request: IncomingMessage, response: ServerResponse): void {
  if (!response.headersSent) {
    const headers = { "retry-after": "1", "content-length": "0" };
    response.writeHead(503, request.httpVersionMajor < 2 ? { ...headers, connection: "close" } : headers);
    response.end();
  }
  // Ends the reading of the RPC library.
  request.destroy();
}
