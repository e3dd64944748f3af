import type { IncomingMessage, ServerResponse } from "node:http";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Health } from "./health.ts";

/** Answers a plain HTTP request on its own. */
export type PlainHandler = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Serves what operators' tools ask for over plain HTTP: `/healthz` (200 while the process runs), `/readyz` (200, or 503
 * while it takes no work, each with the reason), `/metrics` (Prometheus text). GET and HEAD only; any other path is 404.
 */
export function createOperationsHandler(options: {
  readonly health: Health;
  readonly metrics: Pick<Metrics, "page" | "contentType">;
}): PlainHandler {
  const { health, metrics } = options;
  const pages: Readonly<Record<string, (response: ServerResponse) => void | Promise<void>>> = {
    "/healthz": (response) => answerJson(response, 200, { status: "alive" }),
    "/readyz": (response) => answerJson(response, health.readiness.ready ? 200 : 503, health.readiness),
    "/metrics": async (response) => {
      const page = await metrics.page();
      response.writeHead(200, { "content-type": metrics.contentType }).end(page);
    },
  };
  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) {
      return answerJson(response, 404, { code: "not_found", message: "Cannot serve request: no such path" });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      const message = "Cannot serve request: the method is not allowed here, should be GET or HEAD";
      return answerJson(response, 405, { code: "unimplemented", message });
    }
    Promise.resolve(page(response)).catch((error: unknown) => response.destroy(error as Error));
  };
}

/** Answers with a JSON body. The peer may be gone already; then nothing happens. */
export function answerJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
    .end(text);
}
