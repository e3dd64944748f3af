import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../../dialect.ts";
import { JsonScan, watchKeys } from "../../json-scan.ts";
import { malformedAnswer } from "../../malformed-answer.ts";
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
  if (!isUtf8(body) || !scan.scan(body, 0, body.length))
    return malformedAnswer("the provider's answer is not a JSON object");
  const { textBytes } = scan;
  if (scan.has(body, ERROR)) return { failure: toStatedFailure(scan.parse(body, ERROR)), textBytes: 0 };
  const status = scan.has(body, STATUS) ? scan.parse(body, STATUS) : "completed";
  if (status === "failed" || status === "cancelled") return { failure: toStatedFailure({}), textBytes: 0 };
  if (!scan.has(body, OUTPUT)) return malformedAnswer("the provider's answer has no output");
  const quantities = scan.has(body, USAGE) ? readUsage(scan.parse(body, USAGE), hasItem(body)) : undefined;
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}

/** Whether `output` has an element. */
function hasItem(body: Buffer): boolean {
  let at = scan.starts[OUTPUT]! + 1;
  while (body[at]! <= 0x20) at += 1;
  return body[at] !== 0x5d;
}
