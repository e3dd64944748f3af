import type { IncomingHttpHeaders } from "node:http";
import { REASONS } from "../../shared/errors/reason.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { HeaderList } from "../providers/dialect.ts";
import { isListed } from "../providers/header-list.ts";
import type { AnswerFailure, AnswerHead } from "./call.ts";
import type { CallerFormat } from "./caller-format.ts";

/** Longest header value that goes on or comes back. */
const LONGEST = 1024;
const PRINTABLE = /^[\x20-\x7e]+$/;

/** Picks the headers in which a key may stand. `connection` is given where they came on one of their own. */
export function pickCallerHeaders(headers: IncomingHttpHeaders, connection?: object): CallerHeaders {
  return {
    authorization: headers.authorization,
    xApiKey: toOne(headers["x-api-key"]),
    apiKey: toOne(headers["api-key"]),
    connection,
  };
}

/** Picks the headers that go on to a provider of the caller's format, name and value by turns. */
export function pickRelayedHeaders(headers: IncomingHttpHeaders, list: HeaderList): string[] {
  const picked: string[] = [];
  if (list.prefixes.length === 0) {
    for (const name of list.names) take(picked, name, headers[name]);
  } else {
    for (const name in headers) if (isListed(name, list)) take(picked, name, headers[name]);
  }
  return picked;
}

function take(picked: string[], name: string, value: string | string[] | undefined): void {
  if (typeof value === "string" && value.length <= LONGEST && PRINTABLE.test(value)) picked.push(name, value);
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
  if (head.dropped !== undefined) list.push("x-weir-dropped", toHeaderText(head.dropped));
  if (head.relayedHeaders !== undefined) for (const [name, value] of head.relayedHeaders) list.push(name, value);
  return list;
}

/** The same by name. */
export function toAnswerHeaders(
  head: AnswerHead,
  clientRequestId: string | undefined,
  format?: Pick<CallerFormat, "listHeaders">,
): Record<string, string> {
  const headers: Record<string, string> = {};
  const list = listAnswerHeaders(head, clientRequestId);
  if (format !== undefined) list.push(...format.listHeaders(head));
  for (let i = 0; i < list.length; i += 2) headers[list[i]!] = list[i + 1]!;
  return headers;
}

/**
 * The headers that only errors have. The SDKs repeat on 408, 409, 429 and 5xx, so a refusal that stays one says
 * `x-should-retry: false`. The reason is in `x-weir-reason`.
 */
export function listErrorHeaders({ error, lasts = false }: AnswerFailure): Record<string, string> {
  const { reason, retryAfterMs } = error;
  const headers: Record<string, string> = { "x-weir-reason": reason };
  if (lasts || !REASONS[reason].retry) headers["x-should-retry"] = "false";
  if (retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
    headers["retry-after-ms"] = String(Math.ceil(retryAfterMs));
  }
  return headers;
}

/** Names of fields as a header: extras have names that the caller chose, so what is not plain is replaced. */
function toHeaderText(fields: readonly string[]): string {
  return fields
    .join(", ")
    .replaceAll(/[^\x20-\x7e]/g, "?")
    .slice(0, LONGEST);
}

function toOne(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
