/** Requests over HTTP/1.1 that are none, or could be read in two ways: what is wrong with them, and how they are answered. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What is wrong with the head of a request over HTTP/1 that Node lets by: others on its way might read it otherwise. */
export function findBrokenHead({ rawHeaders, headers }: IncomingMessage): string | undefined {
  if (headers.host === undefined) return "NO_HOST";
  // RFC 9112, section 3.2. Node keeps the first of several. Each request comes by here: this allocates nothing.
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  if (hosts > 1) return "TWO_HOSTS";
  // Section 6.3. Node takes whatever ends in chunks for plain ones.
  const encoding = headers["transfer-encoding"];
  return encoding !== undefined && encoding.toLowerCase() !== "chunked" ? "NOT_CHUNKED" : undefined;
}

const BROKEN: Readonly<Record<string, readonly [status: number, phrase: string, code: string, state: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "request_timeout", "it took too long to arrive"],
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "headers_too_large", "its headers are too large"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "Payload Too Large", "chunk_too_large", "its chunk extensions are too large"],
  NO_HOST: [400, "Bad Request", "malformed_request", "it names no host"],
  TWO_HOSTS: [400, "Bad Request", "malformed_request", "it names more than one host"],
  NOT_CHUNKED: [400, "Bad Request", "malformed_request", "its transfer encoding is not chunked alone"],
  UNKNOWN_EXPECTATION: [417, "Expectation Failed", "unknown_expectation", "it expects what is not known here"],
};

/**
 * The answer to what is not a whole request. Its dialect is not known then: the body is what clients of the OpenAI
 * format read, with a top-level code and message as those of Connect do.
 */
function describeBroken(errorCode: string | undefined): readonly [status: number, phrase: string, body: string] {
  const [status, phrase, code, state] = BROKEN[errorCode ?? ""] ?? [
    400,
    "Bad Request",
    "malformed_request",
    "it is not HTTP",
  ];
  const message = `Cannot serve request: ${state}`;
  const error = { message, type: "invalid_request_error", param: null, code };
  return [status, phrase, JSON.stringify({ error, code: "invalid_argument", message })];
}

/** Refuses a request for what {@link findBrokenHead} found, or for what Node says of it by its own codes. */
export function refuseBroken(response: ServerResponse, errorCode: string): void {
  const [status, , body] = describeBroken(errorCode);
  if (response.req.httpVersionMajor === 1) response.setHeader("connection", "close");
  response
    .writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
    .end(body);
}

/** Answers what comes where a request should, and ends its connection: for `clientError` of a server of HTTP/1.1. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, stream: Duplex): void {
  const socket = stream as Socket & { readonly _httpMessage?: ServerResponse | null };
  const answering = socket._httpMessage;
  if (error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  if (answering && (answering.writableEnded || answering.req.complete)) {
    // The answer on its way goes first: to a whole request before the broken one (pipelining), or to the head of this
    // one, if that was enough to refuse it.
    const isAnswered = !answering.req.complete;
    answering.once("finish", () => (isAnswered ? socket.destroySoon() : answerBrokenRequest(error, socket)));
    return;
  }
  if (!socket.writable || answering?.headersSent) {
    // A second answer in the middle of the first would be taken for part of it.
    socket.destroySoon();
    return;
  }
  const [status, phrase, body] = describeBroken(error.code);
  const head = `HTTP/1.1 ${status} ${phrase}\r\nconnection: close\r\ncontent-type: application/json\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroySoon());
}
