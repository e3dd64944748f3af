import type { Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../../providers/dialect.ts";
import type { AnswerFacts } from "../caller-format.ts";

/** How a vector stands in an answer. */
export type ComposeVector = (values: readonly number[]) => readonly number[] | string;

/**
 * Writes embeddings that a target of another format made. The model is named as the caller wrote it; what is
 * counted is all on the side of what was read.
 */
export function composeAnswer(
  { embeddings = [] }: TypedAnswer,
  usage: Usage,
  { model }: AnswerFacts,
  composeVector: ComposeVector,
): Buffer {
  const tokens = Number(usage.lines.reduce((sum, { quantity }) => sum + quantity, 0n));
  const data = embeddings.map(({ index, values }) => ({
    object: "embedding",
    index,
    embedding: composeVector(values),
  }));
  const answer = {
    object: "list",
    data,
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
  return Buffer.from(JSON.stringify(answer));
}
