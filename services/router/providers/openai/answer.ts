import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { toStatedFailure } from "./error.ts";
import { hasText, readUsage } from "./usage.ts";

const CHOICES = 0;
const USAGE = 1;
const ERROR = 2;

/** Strings of a choice that are no text of the answer: what kind it is, why it ended, probabilities, verdicts of a filter. */
export const NO_TEXT: readonly string[] = ["role", "type", "id", "finish_reason", "token", "severity"];

const scan = new JsonScan(watchKeys(["choices", "usage", "error"], { noText: NO_TEXT }));

/** Understands an answer in one piece: that it is one, and what it used. Its bytes go to the caller as they came. */
export function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length)) return malformed("the provider's answer is not a JSON object");
  const { textBytes } = scan;
  if (has(body, ERROR)) {
    return { failure: toStatedFailure(read(body, ERROR)), textBytes: 0 };
  }
  if (!has(body, CHOICES)) return malformed("the provider's answer has no choices");
  const choices = () => hasText(read(body, CHOICES), "message");
  const quantities = has(body, USAGE) ? readUsage(read(body, USAGE), choices) : undefined;
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

function read(body: Buffer, key: number): unknown {
  return JSON.parse(body.toString("utf8", scan.starts[key], scan.ends[key]));
}
