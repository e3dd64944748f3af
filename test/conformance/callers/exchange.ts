import { Agent, request } from "node:http";
import { type Json, objectOf } from "../provider/language.ts";
import type { Gateway } from "./caller.ts";

/** An answer over HTTP, byte for byte. */
export interface Exchange {
  /** 0 when no head came. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
  /** Whether the body came to the end that HTTP says it has. */
  readonly isClean: boolean;
}

const agent = new Agent({ keepAlive: true, maxSockets: 128 });

/** Sends a request over HTTP/1.1 and reads what comes, to its end or to where it breaks. Rejects only when `signal` is aborted. */
export function exchange(
  gateway: Gateway,
  asked: { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body: Json },
  signal: AbortSignal,
): Promise<Exchange> {
  const { promise, resolve, reject } = Promise.withResolvers<Exchange>();
  const text = JSON.stringify(asked.body);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const sent = request(new URL(asked.path, gateway.origin), {
    method: "POST",
    agent,
    signal,
    headers: { ...headers, ...gateway.headers, ...asked.headers },
  });
  sent.once("response", (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", () => undefined);
    response.once("close", () => {
      if (signal.aborted) return reject(signal.reason as Error);
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers as Record<string, string | undefined>,
        body: Buffer.concat(chunks).toString("utf8"),
        isClean: response.complete,
      });
    });
  });
  sent.once("error", () => {
    if (signal.aborted) return reject(signal.reason as Error);
    resolve({ status: 0, headers: {}, body: "", isClean: false });
  });
  sent.end(text);
  return promise;
}

/** An event of a stream. */
export interface SeenEvent {
  /** Empty when it has no name. */
  readonly name: string;
  readonly data: string;
}

/** The events of a stream that are whole. Comments are left out. */
export function readEvents(body: string): SeenEvent[] {
  const parts = body.split(/\r?\n\r?\n/);
  // What no blank line ends is no event.
  parts.pop();
  return parts.flatMap((part) => {
    let name = "";
    const data: string[] = [];
    for (const line of part.split(/\r?\n/)) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
    return data.length === 0 ? [] : [{ name, data: data.join("\n") }];
  });
}

/** The JSON of an event or a body; empty when it is none. */
export function readJson(text: string): Json {
  try {
    return objectOf(JSON.parse(text));
  } catch {
    return {};
  }
}

/** The error of a body that is not an answer: of the gateway's own format if `read` finds it, else one that says so. */
export function readError(
  { status, body }: Exchange,
  read: (json: Json) => { type: string; message: string } | undefined,
) {
  if (status === 0) return { type: "no answer", message: "The connection ended before an answer" };
  const said = read(readJson(body));
  if (said !== undefined) return said;
  return status === 200 ? undefined : { type: "of no known form", message: body.slice(0, 200) };
}
