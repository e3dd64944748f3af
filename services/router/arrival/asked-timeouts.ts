import type { IncomingHttpHeaders } from "node:http";
import type { Timeouts } from "../routing/timeouts.ts";
import { invalid } from "./invalid.ts";

/** The headers by which a caller shortens how long is waited for a provider, as RPCs have them in their metadata. */
export const TIMEOUT_HEADERS = [
  "x-weir-timeout-connect",
  "x-weir-timeout-first-token",
  "x-weir-timeout-idle",
  "x-weir-timeout-total",
] as const;

const [CONNECT, FIRST_TOKEN, IDLE, TOTAL] = TIMEOUT_HEADERS;

/** Longest that can be asked: a day. The policy's timeouts bound it anyhow. */
const LONGEST_MS = 86_400_000;
const TIMEOUT = /^(\d{1,8}(?:\.\d{1,3})?)(ms|s|m)?$/;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/**
 * Reads how long a caller will wait: whole milliseconds such as `1500`, or with a unit `1500ms`, `30s`, `2m`; from 1 ms to a day. Undefined
 * when it does not say. Throws ARGUMENT_INVALID for any other value.
 */
export function readAskedTimeouts(headers: IncomingHttpHeaders): Partial<Timeouts> | undefined {
  const connect = headers[CONNECT];
  const firstToken = headers[FIRST_TOKEN];
  const idle = headers[IDLE];
  const total = headers[TOTAL];
  // As nearly all callers have it.
  if ((connect ?? firstToken ?? idle ?? total) === undefined) return undefined;
  return {
    ...(connect !== undefined && { connectMs: readTimeout(CONNECT, connect) }),
    ...(firstToken !== undefined && { firstTokenMs: readTimeout(FIRST_TOKEN, firstToken) }),
    ...(idle !== undefined && { idleMs: readTimeout(IDLE, idle) }),
    ...(total !== undefined && { totalMs: readTimeout(TOTAL, total) }),
  };
}

function readTimeout(name: string, value: string | string[]): number {
  const [, count, unit = "ms"] = (typeof value === "string" && TIMEOUT.exec(value)) || [];
  const timeoutMs = Math.ceil(Number(count ?? Number.NaN) * UNITS_MS[unit]!);
  if (timeoutMs >= 1 && timeoutMs <= LONGEST_MS) return timeoutMs;
  throw invalid(name, 'must be a time such as "1500ms" or "30s", from 1 ms to a day');
}
