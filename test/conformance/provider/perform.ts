import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { Answer } from "./answer.ts";
import type { Command } from "./command.ts";
import type { Asked, Language, StreamEvent } from "./language.ts";

/** One call as it is to be answered. */
export interface Performance {
  readonly response: ServerResponse;
  readonly language: Language;
  readonly asked: Asked;
  readonly answer: Answer;
  readonly command: Command;
  /** Called when the provider itself breaks the connection or falls silent, before it does. */
  readonly onBreak: () => void;
  /** Aborted when the caller is gone. */
  readonly left: AbortSignal;
}

/** Answers a call as its command says. Rejects only when the caller is gone. */
export async function perform(performance: Performance): Promise<void> {
  const { response, language, asked, command, onBreak } = performance;
  switch (command.fault) {
    case "never":
      onBreak();
      return;
    case "reset":
      onBreak();
      response.socket?.resetAndDestroy();
      return;
    case "redirect":
      response.writeHead(307, { location: "http://127.0.0.1:9/elsewhere" }).end();
      return;
    case "html":
      send(response, 200, { "content-type": "text/html" }, "<html><body>Welcome to the captive portal</body></html>");
      return;
    case "status": {
      const { headers, body } = language.composeError(command.status, command.retryAfterS);
      send(response, command.status, { "content-type": "application/json", ...headers }, body);
      return;
    }
    default:
      return asked.streamed ? performStream(performance) : performWhole(performance);
  }
}

/** The events of a stream, and where in its bytes things stand. */
export interface Layout {
  readonly bytes: Buffer;
  /** Where the first event with content begins. */
  readonly contentAt: number;
  /** Where the event that marks the end is whole but for its blank line. From here on nothing of the answer is missing. */
  readonly wholeAt: number;
}

/** Lays out a stream, so that a test can cut it at each byte. */
export function layOut(language: Language, answer: Answer, asked: Asked): Layout {
  const events = language.composeEvents(answer, asked);
  const sizes = (until: (event: StreamEvent) => boolean) => {
    const index = events.findIndex(until);
    return events.slice(0, index).reduce((sum, { bytes }) => sum + bytes.length, 0);
  };
  const mark = events.find(({ part }) => part === "mark")?.bytes ?? Buffer.alloc(0);
  const blank = /(\r?\n)*$/.exec(mark.toString("latin1"))?.[0].length ?? 0;
  return {
    bytes: Buffer.concat(events.map(({ bytes }) => bytes)),
    contentAt: sizes(({ part }) => part === "content"),
    wholeAt: sizes(({ part }) => part === "mark") + mark.length - (language.streamType.startsWith("text/") ? blank : 0),
  };
}

async function performStream(performance: Performance): Promise<void> {
  const { response, language, asked, answer, command, left } = performance;
  const events = language.composeEvents(answer, asked);
  const head = { "content-type": language.streamType, "cache-control": "no-cache" };
  if (command.fault === "gzip") {
    const bytes = gzipSync(Buffer.concat(events.map(({ bytes: some }) => some)));
    send(response, 200, { ...head, "content-encoding": "gzip" }, bytes);
    return;
  }
  response.writeHead(200, head);
  response.flushHeaders();
  if (command.fault === "none" || command.fault === "huge" || command.fault === "slow") {
    for (const { bytes } of events) {
      if (command.fault === "slow") await sleep(command.ms, undefined, { signal: left });
      await write(response, bytes, left);
    }
    response.end();
    return;
  }
  for (const bytes of takeBefore(events, command)) await write(response, bytes, left);
  await misbehave(performance, () => language.composeMalformed());
}

/** What is sent before it goes wrong. */
function takeBefore(events: readonly StreamEvent[], command: Command): Buffer[] {
  if (command.bytes !== undefined) {
    return [Buffer.concat(events.map(({ bytes }) => bytes)).subarray(0, command.bytes)];
  }
  let content = 0;
  const end = events.findIndex(({ part }) => part === "content" && content++ === command.events);
  return events.slice(0, end < 0 ? events.length - 1 : end).map(({ bytes }) => bytes);
}

async function performWhole(performance: Performance): Promise<void> {
  const { response, language, asked, answer, command, left } = performance;
  const body = Buffer.from(JSON.stringify(language.composeWhole(answer, asked)));
  const type = { "content-type": "application/json" };
  const half = body.subarray(0, command.bytes ?? body.length >> 1);
  switch (command.fault) {
    case "none":
    case "huge":
      send(response, 200, type, body);
      return;
    case "slow":
      await sleep(command.ms, undefined, { signal: left });
      send(response, 200, type, body);
      return;
    case "gzip":
      send(response, 200, { ...type, "content-encoding": "gzip" }, gzipSync(body));
      return;
    case "error":
      send(response, 200, type, language.composeError(command.status, command.retryAfterS).body);
      return;
    case "malformed":
      send(response, 200, type, half);
      return;
    case "end":
      // In chunks: a body of fewer bytes than it promised would be a cut.
      response.writeHead(200, type);
      await write(response, half, left);
      response.end();
      return;
    default:
      response.writeHead(200, { ...type, "content-length": body.length });
      response.flushHeaders();
      await write(response, half, left);
      await misbehave(performance, () => Buffer.alloc(0));
  }
}

async function misbehave(performance: Performance, composeMalformed: () => Buffer): Promise<void> {
  const { response, language, command, onBreak } = performance;
  switch (command.fault) {
    case "cut":
      onBreak();
      // Once what was written is on its way: a reset could overtake it.
      response.socket?.destroySoon();
      return;
    case "stall":
      onBreak();
      return;
    case "malformed":
      response.write(composeMalformed());
      response.end();
      return;
    case "error":
      response.write(language.composeStreamError());
      response.end();
      return;
    default:
      response.end();
  }
}

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer | string,
): void {
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

async function write(response: ServerResponse, bytes: Buffer, left: AbortSignal): Promise<void> {
  left.throwIfAborted();
  if (response.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const onLeft = () => reject(left.reason);
    left.addEventListener("abort", onLeft, { once: true });
    response.once("drain", () => {
      left.removeEventListener("abort", onLeft);
      resolve();
    });
  });
}
