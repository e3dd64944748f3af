import { Dialect as DialectId } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect } from "../dialect.ts";
import { readAnswer } from "./answer.ts";
import { composeTyped, toTypedAnswer } from "./codec.ts";
import { readRefusal } from "./error.ts";
import { OpenAiPieceReader } from "./pieces.ts";
import { composeRelayed } from "./request.ts";
import { OpenAiStreamReader } from "./stream.ts";

/** OpenAI chat completions (https://platform.openai.com/docs/api-reference/chat), as OpenAI and the compatible servers speak it. */
export const openai: Dialect = {
  id: DialectId.OPENAI,
  chatPath: "/chat/completions",
  composeCredential: (secret) => ["authorization", `Bearer ${secret}`],
  composeRelayed,
  composeTyped,
  readAnswer,
  readRefusal,
  createStreamReader: (options) => new OpenAiStreamReader(options),
  toTypedAnswer,
  createPieceReader: () => new OpenAiPieceReader(),
};
