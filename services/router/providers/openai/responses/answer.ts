import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../../dialect.ts";
import { JsonScan, watchKeys } from "../../json-scan.ts";
import { toStatedFailure } from "./error.ts";
import { readUsage } from "./usage.ts";

const OUTPUT = 0;
const USAGE = 1;
const ERROR = 2;
const STATUS = 3;
const scan = new JsonScan(watchKeys(["output", "usage", "error", "status"]));

/**
 * Understands a response in one piece (https://platform.openai.com/docs/api-reference/responses/object): that it is one, that it
 * did not fail, and what it used. Its bytes go to the caller as they came.
 */
export function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length)) return malformed("the provider's answer is not a JSON object");
  const { textBytes } = scan;
  if (has(body, ERROR)) return { failure: toStatedFailure(read(body, ERROR)), textBytes: 0 };
  const status = has(body, STATUS) ? read(body, STATUS) : "completed";
  if (status === "failed" || status === "cancelled") return { failure: toStatedFailure({}), textBytes: 0 };
  if (!has(body, OUTPUT)) return malformed("the provider's answer has no output");
  const quantities = has(body, USAGE) ? readUsage(read(body, USAGE), hasItem(body)) : undefined;
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}

function malformed(state: string): AnswerReading {
  return { failure: { reason: "PROVIDER_FAILED", state, elsewhere: true }, textBytes: 0 };
}

/** Whether a member is there and is not null. */
function has(body: Buffer, key: number): boolean {
  const start = scan.starts[key]!;
  return start >= 0 && body[start] !== 0x6e;
}

/** Whether `output` has an element. */
function hasItem(body: Buffer): boolean {
  let at = scan.starts[OUTPUT]! + 1;
  while (body[at]! <= 0x20) at += 1;
  return body[at] !== 0x5d;
}

function read(body: Buffer, key: number): unknown {
  return JSON.parse(body.toString("utf8", scan.starts[key], scan.ends[key]));
}
