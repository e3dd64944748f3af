import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, type ChatRequest, composeAnswer, countAnswer, toCompletion, toEvents } from "./answer.ts";
import { Bill, type BilledCall } from "./bill.ts";
import { SCRIPTS, type Script, ScriptBook } from "./script.ts";

/** Largest request body that is read. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/**
 * A model provider that is not one: it speaks the OpenAI chat completions wire format over HTTP, answers by script, and keeps its
 * own bill. For development and tests; every answer says that it is scripted.
 *
 * - `POST /v1/chat/completions` (unary and stream), `GET /v1/models`
 * - `GET /bill` lists the calls with their tokens, `DELETE /bill` forgets them
 * - `POST /script` `{"model": "…", "script": {…} | null}` sets or takes back what a model does
 * - `POST /release` lets all held streams go on
 */
export function createScriptedProvider(): Server {
  const bill = new Bill();
  const scripts = new ScriptBook();
  const holds = new Set<() => void>();
  const server = createServer(async (request, response) => {
    response.setHeader("x-weir-scripted", "true");
    try {
      await route(request, response, { bill, scripts, holds });
    } catch (error) {
      if (!response.headersSent && !response.destroyed) {
        sendError(response, 400, (error as Error).message);
      } else {
        response.destroy();
      }
    }
  });
  server.keepAliveTimeout = 60_000;
  return server;
}

interface State {
  readonly bill: Bill;
  readonly scripts: ScriptBook;
  readonly holds: Set<() => void>;
}

async function route(request: IncomingMessage, response: ServerResponse, state: State): Promise<void> {
  switch (`${request.method} ${request.url?.split("?")[0]}`) {
    case "POST /v1/chat/completions":
      return chat(request, response, state);
    case "GET /v1/models":
      return sendJson(response, 200, {
        object: "list",
        data: Object.keys(SCRIPTS).map((id) => ({ id, object: "model", created: 0, owned_by: "scripted" })),
      });
    case "GET /bill":
      return sendJson(response, 200, state.bill);
    case "DELETE /bill":
      state.bill.clear();
      return sendJson(response, 200, {});
    case "POST /script": {
      const { model, script } = (await readJson(request)) as { model: string; script: Script | null };
      state.scripts.set(model, script ?? undefined);
      return sendJson(response, 200, {});
    }
    case "POST /release":
      for (const release of state.holds) {
        release();
      }
      return sendJson(response, 200, {});
    case "GET /healthz":
      return sendJson(response, 200, { status: "ok", provider: "scripted" });
    default:
      return sendError(response, 404, `Cannot answer: there is no ${request.method} ${request.url}`);
  }
}

async function chat(request: IncomingMessage, response: ServerResponse, state: State): Promise<void> {
  const body = (await readJson(request)) as ChatRequest;
  if (typeof body?.model !== "string" || !Array.isArray(body.messages)) {
    return sendError(response, 400, "Cannot answer: the fields model and messages are required");
  }
  const script = state.scripts.find(body.model);
  const answer = composeAnswer(body, script, `chatcmpl-scripted-${randomBytes(9).toString("hex")}`, Date.now());
  const call = state.bill.open({
    id: answer.id,
    model: body.model,
    stream: body.stream === true,
    requestId: request.headers["x-request-id"]?.toString(),
    status: "running",
    promptTokens: 0,
    completionTokens: 0,
    startedAt: new Date().toISOString(),
  });
  const left = new AbortController();
  response.once("close", () => {
    if (call.status === "running") {
      call.status = "left by caller";
    }
    left.abort();
  });
  try {
    await perform(body, response, { script, answer, call, left: left.signal, holds: state.holds });
  } catch (error) {
    if (!left.signal.aborted) {
      throw error;
    }
  }
}

interface Performance {
  readonly script: Script;
  readonly answer: Answer;
  readonly call: BilledCall;
  /** Aborted when the caller is gone. */
  readonly left: AbortSignal;
  readonly holds: Set<() => void>;
}

async function perform(body: ChatRequest, response: ServerResponse, performance: Performance): Promise<void> {
  const { script, answer, call, left } = performance;
  if (script.silent) {
    return; // the caller's own timeout ends it
  }
  if (script.delayMs) {
    await sleep(script.delayMs, undefined, { signal: left });
  }
  if ((script.status ?? 200) >= 400) {
    call.status = "failed";
    return sendError(response, script.status!, "This is a scripted failure", script);
  }
  call.promptTokens = answer.promptTokens;
  if (body.stream) {
    return performStream(response, performance, body.stream_options?.include_usage === true);
  }
  if (script.holdAfterChunks !== undefined) {
    await hold(performance);
  }
  if (script.chunkDelayMs) {
    await sleep(script.chunkDelayMs * (script.chunks ?? 4), undefined, { signal: left });
  }
  const choices = Math.min(Math.max(body.n ?? 1, 1), 8);
  const json = script.malformed ? '{"id":"chatcmpl-' : JSON.stringify(toCompletion(answer, script, choices));
  call.completionTokens = countAnswer(answer) * choices;
  if (script.cutAfterChunks !== undefined) {
    call.status = "cut";
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(json) });
    response.write(json.slice(0, json.length >> 1));
    cut(response);
    return;
  }
  call.status = "answered";
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(json),
    "x-request-id": call.id,
  });
  response.end(json);
}

async function performStream(response: ServerResponse, performance: Performance, includeUsage: boolean): Promise<void> {
  const { script, answer, call, left } = performance;
  const events = toEvents(answer, script, includeUsage);
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-request-id": call.id,
  });
  const send = async (event: unknown) => {
    const text = typeof event === "string" ? event : JSON.stringify(event);
    if (!response.write(`data: ${text}\n\n`)) {
      await new Promise<void>((resolve, reject) => {
        response.once("drain", resolve);
        left.addEventListener("abort", () => reject(left.reason), { once: true });
      });
    }
    left.throwIfAborted();
  };
  for (const event of events.opening) {
    await send(event);
  }
  for (const [index, piece] of events.pieces.entries()) {
    if (index === script.cutAfterChunks) {
      call.status = "cut";
      cut(response);
      return;
    }
    if (index === script.endAfterChunks) {
      call.status = "cut";
      response.end();
      return;
    }
    if (index === script.errorAfterChunks) {
      call.status = "failed";
      await send({ error: { message: "This is a scripted failure", type: "server_error", param: null, code: null } });
      response.end();
      return;
    }
    if (index === script.holdAfterChunks) {
      await hold(performance);
    }
    if (script.chunkDelayMs) {
      await sleep(script.chunkDelayMs, undefined, { signal: left });
    }
    await send(script.malformed && index === 2 ? '{"id":"chatcmpl-' : piece);
    call.completionTokens = countAnswer(answer, index + 1);
  }
  for (const event of events.closing) {
    await send(event);
  }
  call.status = "answered";
  response.end("data: [DONE]\n\n");
}

/** Ends the connection in the middle of an answer, once what was written is on its way: a reset could overtake it. */
function cut(response: ServerResponse): void {
  response.socket?.destroySoon();
}

/** Waits until it is released, or until the caller is gone. */
function hold({ holds, left }: Performance): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      holds.delete(settle);
      resolve();
    };
    holds.add(settle);
    left.addEventListener(
      "abort",
      () => {
        holds.delete(settle);
        reject(left.reason);
      },
      { once: true },
    );
  });
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BODY_BYTES) {
      throw new Error(`Cannot read request: its body has more than ${MAX_BODY_BYTES} bytes`);
    }
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new Error("Cannot read request: its body is not JSON");
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const json = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(json) });
  response.end(json);
}

function sendError(response: ServerResponse, status: number, message: string, script: Script = {}): void {
  if (script.retryAfterSeconds !== undefined) {
    response.setHeader("retry-after", String(script.retryAfterSeconds));
  }
  const type = status === 429 ? "requests" : status >= 500 ? "server_error" : "invalid_request_error";
  sendJson(response, status, { error: { message, type, param: null, code: script.errorCode ?? null } });
}
