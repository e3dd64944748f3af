import type { AnswerReading } from "../dialect.ts";
import { malformedAnswer } from "../malformed-answer.ts";
import { toList, toObject, toText } from "../shape.ts";
import { readPayload } from "./read-payload.ts";
import { readUsage } from "./usage.ts";

/**
 * Understands an answer of Converse (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html): that it
 * is one, and what it used.
 */
export function readAnswer(body: Buffer): AnswerReading {
  const answer = readPayload(body);
  if (answer === undefined) return malformedAnswer("the provider's answer is not a JSON object");
  const { content } = toObject(toObject(answer.output).message);
  if (!Array.isArray(content)) return malformedAnswer("the provider's answer has no message");
  if (toText(answer.stopReason) === "") return malformedAnswer("the provider's answer does not say why it ended");
  const textBytes = content.reduce((sum: number, block: unknown) => sum + countText(toObject(block)), 0);
  const quantities = readUsage(answer.usage, content.length > 0);
  return quantities === undefined ? { textBytes } : { textBytes, quantities };
}

function countText({ text, toolUse, reasoningContent, citationsContent }: Record<string, unknown>): number {
  const { input } = toObject(toolUse);
  const { reasoningText, redactedContent } = toObject(reasoningContent);
  const cited = toList(toObject(citationsContent).content).map((part) => toText(toObject(part).text));
  const texts = [toText(text), toText(toObject(reasoningText).text), toText(redactedContent), ...cited];
  const size = texts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  return input === undefined ? size : size + Buffer.byteLength(JSON.stringify(input));
}
