import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { malformedAnswer } from "../malformed-answer.ts";
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
  if (!isUtf8(body) || !scan.scan(body, 0, body.length))
    return malformedAnswer("the provider's answer is not a JSON object");
  const { textBytes } = scan;
  if (scan.has(body, ERROR)) {
    return { failure: toStatedFailure(scan.parse(body, ERROR)), textBytes: 0 };
  }
  if (!scan.has(body, CHOICES)) return malformedAnswer("the provider's answer has no choices");
  const choices = () => hasText(scan.parse(body, CHOICES), "message");
  const quantities = scan.has(body, USAGE) ? readUsage(scan.parse(body, USAGE), choices) : undefined;
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}
