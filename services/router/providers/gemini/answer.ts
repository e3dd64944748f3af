import { isUtf8 } from "node:buffer";
import type { AnswerReading } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { malformedAnswer } from "../malformed-answer.ts";
import { toList } from "../shape.ts";
import { toStatedFailure } from "./error.ts";
import { countText, isBlocked } from "./parts.ts";
import { readUsage } from "./usage.ts";

const CANDIDATES = 0;
const FEEDBACK = 1;
const USAGE = 2;
const ERROR = 3;

/** What Weir reads of an answer, or of an event, which is an answer too. */
export interface ReadAnswer {
  readonly candidates: unknown[];
  /** Whether the prompt was blocked, so that there are no candidates. */
  readonly isBlocked: boolean;
  /** Absent when the provider said nothing of it. */
  readonly usage: unknown;
  /** Absent when there is none. */
  readonly error: unknown;
}

const scan = new JsonScan(watchKeys(["candidates", "promptFeedback", "usageMetadata", "error"]));

/** Reads an answer or an event of a stream; undefined when it is not a JSON object of bounded depth. It comes from the provider. */
export function findAnswer(bytes: Buffer): ReadAnswer | undefined {
  if (!isUtf8(bytes) || !scan.scan(bytes, 0, bytes.length)) return undefined;
  const read = (key: number): unknown => (scan.has(bytes, key) ? scan.parse(bytes, key) : undefined);
  return {
    candidates: toList(read(CANDIDATES)),
    isBlocked: isBlocked(read(FEEDBACK)),
    usage: read(USAGE),
    error: read(ERROR),
  };
}

/**
 * Understands an answer in one piece: that it is one, and what it used. A prompt that the provider's filter blocked is an answer,
 * too: it would be blocked for what it says, and the caller is told so in the way of its format.
 */
export function readAnswer(body: Buffer): AnswerReading {
  const answer = findAnswer(body);
  if (answer === undefined) return malformedAnswer("the provider's answer is not a JSON object");
  if (answer.error !== undefined) return { failure: toStatedFailure(answer.error), textBytes: 0 };
  if (answer.candidates.length === 0 && !answer.isBlocked)
    return malformedAnswer("the provider's answer has no candidates");
  const textBytes = answer.candidates.reduce((sum: number, candidate) => sum + countText(candidate), 0);
  const quantities = readUsage(answer.usage, () => textBytes > 0);
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}
