import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { malformedAnswer } from "../malformed-answer.ts";
import { toList, toObject } from "../shape.ts";
import { toStatedFailure } from "./error.ts";
import { readUsage } from "./usage.ts";

const CONTENT = 0;
const USAGE = 1;
const ERROR = 2;

/** Strings of a block that are no text of the answer: what kind it is, its id, what signs it. */
export const NO_TEXT: readonly string[] = ["type", "id", "tool_use_id", "signature"];

const scan = new JsonScan(watchKeys(["content", "usage", "error"], { noText: NO_TEXT }));

/** Understands an answer in one piece: that it is one, and what it used. Its bytes go to a caller of this format as they came. */
export function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length))
    return malformedAnswer("the provider's answer is not a JSON object");
  const { textBytes } = scan;
  if (scan.has(body, ERROR)) return { failure: toStatedFailure(scan.parse(body, ERROR)), textBytes: 0 };
  if (!scan.has(body, CONTENT)) return malformedAnswer("the provider's answer has no content");
  const hasText = () => toList(scan.parse(body, CONTENT)).some(hasSubstance);
  const quantities = scan.has(body, USAGE) ? readUsage(scan.parse(body, USAGE), hasText) : undefined;
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}

/**
 * Whether a block, or the delta of one, holds something that a caller would miss. Text and thinking begin empty; a block of any
 * other kind is something from its beginning, and so is a signature.
 */
export function hasSubstance(block: unknown): boolean {
  const { type, ...members } = toObject(block);
  if (type === "text" || type === "thinking") return [members.text, members.thinking, members.signature].some(Boolean);
  return Object.values(members).some((value) => value !== "" && value !== null);
}
