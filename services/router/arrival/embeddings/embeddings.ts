import type { CallerFormat } from "../caller-format.ts";
import { chatCompletions } from "../chat-completions/chat-completions.ts";
import { type ComposeVector, composeAnswer } from "./write-answer.ts";

/** Embeddings as callers read them (https://platform.openai.com/docs/api-reference/embeddings), vectors as lists of numbers. */
export const floatEmbeddings = createFormat((values) => values);

/** The same with vectors as base64 of their 32-bit numbers, the lowest byte first. */
export const base64Embeddings = createFormat(encodeVector);

/** Errors and headers are those of all that OpenAI has. */
function createFormat(composeVector: ComposeVector): CallerFormat {
  const { composeError, composeStreamError, keepAlive, listHeaders, requestHeaders } = chatCompletions;
  return {
    format: "embeddings",
    composeAnswer: (answer, usage, facts) => composeAnswer(answer, usage, facts, composeVector),
    createStreamWriter: () => {
      throw new Error("Cannot write stream: embeddings come in one piece");
    },
    composeError,
    composeStreamError,
    keepAlive,
    listHeaders,
    requestHeaders,
  };
}

function encodeVector(values: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeFloatLE(value, at * 4);
  return bytes.toString("base64");
}
