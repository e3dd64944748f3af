import { Dialect as DialectId } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { AnswerFormat, Dialect } from "../dialect.ts";
import { openai } from "../openai/openai.ts";
import { toAzurePath } from "./path.ts";

/**
 * OpenAI's formats as Azure serves them (https://learn.microsoft.com/azure/ai-foundry/openai/reference): the same but for their
 * place, the header of the credential, and the verdicts of Azure's content filter in the answers, which go on as they came. A target's
 * model is the name of a deployment. A provider's base URL ends where `/openai` begins, such as `https://name.openai.azure.com`. Usage in
 * streams and `max_completion_tokens` want an API version from 2024-10-21 on.
 */
export const azureOpenai: Dialect = {
  id: DialectId.AZURE_OPENAI,
  composeCredential: (secret) => ["api-key", secret],
  typed: place(openai.typed),
  relayed: openai.relayed.map(place),
  ...(openai.embeddings !== undefined && { embeddings: place(openai.embeddings) }),
  ...(openai.answerHeaders !== undefined && { answerHeaders: openai.answerHeaders }),
  ...(openai.limitHeaders !== undefined && { limitHeaders: openai.limitHeaders }),
};

function place<Kind extends AnswerFormat>(format: Kind): Kind {
  return { ...format, toPath: (asked) => toAzurePath(format.toPath(asked), format.format, asked) };
}
