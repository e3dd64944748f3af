import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../shared/clock.ts";
import type { AnswerFailure, AnswerHead } from "./call.ts";
import type { CallerFormat } from "./caller-format.ts";
import { findClientRequestId, toAnswerHeaders } from "./http-headers.ts";
import type { Deadlines } from "./read-body.ts";

/** How long, and how much, a caller that still sends its body is listened to after it was refused. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 * 1024 * 1024;

/** A body of at most this size is read to its end, and the connection kept. */
const SMALL_BYTES = 64 * 1024;

/** An error that is to be sent before anything else was. */
export interface ErrorAnswer {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The caller's. */
  readonly format: CallerFormat;
  readonly head: AnswerHead;
  readonly failure: AnswerFailure;
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "monotonicMs">;
}

/**
 * Answers a request with an error. When its body has not come whole, the connection is closed, but not at once: closing on a
 * caller that is still sending resets the connection, and it would see that in place of the answer. So what it sends is thrown
 * away for a while (RFC 9112, section 9.6).
 */
export function sendError(answer: ErrorAnswer): void {
  const { request, response } = answer;
  if (request.httpVersionMajor >= 2 || !isMuchMissing(request)) {
    response.end(writeHead(answer, false));
    return;
  }
  linger(answer);
}

/** Writes the head of an error's answer; returns its body. */
function writeHead({ request, response, format, head, failure }: ErrorAnswer, closes: boolean): Buffer {
  const { status, headers, body } = format.composeError(failure, head);
  response.writeHead(status, {
    ...toAnswerHeaders(head, findClientRequestId(request.headers), format),
    ...headers,
    "content-type": "application/json",
    "content-length": body.length,
    ...(closes && { connection: "close" }),
  });
  return body;
}

function linger(answer: ErrorAnswer): void {
  const { request, response, deadlines, clock } = answer;
  response.write(writeHead(answer, true));
  let dropped = 0;
  const end = () => {
    deadlines.remove(watched);
    request.off("data", onData);
    response.end();
  };
  const onData = (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > LINGER_BYTES) end();
  };
  const watched = { deadlineMs: clock.monotonicMs() + LINGER_MS, onDeadline: end };
  deadlines.add(watched);
  request.on("data", onData).once("end", end).once("close", end);
}

/** Whether enough of the body may still come that closing is better than reading it to its end. */
function isMuchMissing({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > SMALL_BYTES;
}
