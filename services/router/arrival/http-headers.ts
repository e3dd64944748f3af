import type { IncomingHttpHeaders } from "node:http";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { AnswerHead } from "./call.ts";

/**
 * The caller's headers that go on to providers. Never its credentials (`authorization`, `x-api-key`, `api-key`, cookies), never
 * what chooses an account (`openai-organization`, `openai-project`), an address or a hop.
 */
const RELAYED = ["openai-beta"] as const;

/** Longest header value that goes on or comes back. */
const LONGEST = 256;
const PRINTABLE = /^[\x20-\x7e]+$/;

/** Picks the headers in which a key may stand. */
export function pickCallerHeaders(headers: IncomingHttpHeaders): CallerHeaders {
  return {
    authorization: headers.authorization,
    xApiKey: toOne(headers["x-api-key"]),
    apiKey: toOne(headers["api-key"]),
  };
}

/** Picks the headers that go on to a provider, name and value by turns. */
export function pickRelayedHeaders(headers: IncomingHttpHeaders): string[] {
  const picked: string[] = [];
  for (const name of RELAYED) {
    const value = headers[name];
    if (typeof value === "string" && value.length <= LONGEST && PRINTABLE.test(value)) picked.push(name, value);
  }
  return picked;
}

/** The caller's own id of its request, when it has one that can be given back. It is never used as an id. */
export function findClientRequestId(headers: IncomingHttpHeaders): string | undefined {
  const id = toOne(headers["x-client-request-id"]) ?? toOne(headers["x-request-id"]);
  return id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : undefined;
}

/** The headers of every answer, name and value by turns: whose it is, and what it ran under. */
export function listAnswerHeaders(head: AnswerHead, clientRequestId: string | undefined): string[] {
  const list = ["x-request-id", head.eventId];
  if (clientRequestId !== undefined) list.push("x-client-request-id", clientRequestId);
  if (head.snapshotVersion !== undefined) list.push("x-weir-snapshot", String(head.snapshotVersion));
  if (head.keyringVersion !== undefined) list.push("x-weir-keyring", String(head.keyringVersion));
  if (head.target !== undefined) list.push("x-weir-target", head.target);
  if (head.relayedHeaders !== undefined) for (const [name, value] of head.relayedHeaders) list.push(name, value);
  return list;
}

/** The same by name. */
export function toAnswerHeaders(head: AnswerHead, clientRequestId: string | undefined): Record<string, string> {
  const headers: Record<string, string> = {};
  const list = listAnswerHeaders(head, clientRequestId);
  for (let i = 0; i < list.length; i += 2) headers[list[i]!] = list[i + 1]!;
  return headers;
}

function toOne(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
