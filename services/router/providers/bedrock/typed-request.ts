import type { JsonObject } from "@bufbuild/protobuf";
import type { ChatInput, ResponseFormat } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { writeInteger } from "../exact-json.ts";
import { parseObject } from "../parse-object.ts";
import { toObject } from "../shape.ts";
import { takeExtras } from "./lose-extras.ts";
import { CLAUDE_EXTRAS, takesClaudeExtras, toModelFields } from "./model-fields.ts";
import { refuse } from "./refuse.ts";
import { toToolConfig } from "./tools.ts";
import { toTurns } from "./typed-turns.ts";

/** What only Converse knows of a request; all of it goes on as it stands. */
const KNOWN_EXTRAS = new Set([
  "additionalModelRequestFields",
  "additionalModelResponseFieldPaths",
  "guardrailConfig",
  "outputConfig",
  "performanceConfig",
  "promptVariables",
  "requestMetadata",
  "serviceTier",
]);

const KNOWN_TO_CLAUDE = new Set([...KNOWN_EXTRAS, ...CLAUDE_EXTRAS]);

/** What may stand in the value of a request's metadata. */
const METADATA = /^[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}$/;

/**
 * Writes a typed request as Converse and ConverseStream take it
 * (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html). `lose`s what can't be said there: several
 * candidates, seeds and penalties, pictures and files by a URL that is none of S3, unsigned reasoning of earlier turns. Throws
 * ARGUMENT_INVALID for what is broken, such as a schema that is no JSON.
 */
export function composeTyped(input: ChatInput, asked: TypedAsk): Buffer {
  const { maxOutputTokens, sampling, responseFormat } = input;
  loseUnknown(input, asked);
  const known = takesClaudeExtras(asked) ? KNOWN_TO_CLAUDE : KNOWN_EXTRAS;
  const { additionalModelRequestFields, requestMetadata, thinking, output_config, ...extras } = takeExtras(
    input.extras,
    known,
    "",
    asked,
  );
  const { system, messages } = toTurns(input.messages, asked);
  const toolConfig = toToolConfig(input, asked);
  const modelFields = {
    ...toObject(additionalModelRequestFields),
    ...toModelFields(input, { thinking, output_config }, asked),
  };
  const metadata = { ...toObject(requestMetadata), ...toEndUser(input.endUser, asked) };
  const inferenceConfig = {
    ...(maxOutputTokens !== undefined && { maxTokens: writeInteger(maxOutputTokens) }),
    ...(sampling?.temperature !== undefined && sampling.temperature <= 1 && { temperature: sampling.temperature }),
    ...(sampling?.topP !== undefined && { topP: sampling.topP }),
    ...(sampling !== undefined && sampling.stopSequences.length > 0 && { stopSequences: sampling.stopSequences }),
  };
  const body = {
    ...extras,
    ...(responseFormat !== undefined && toOutputConfig(responseFormat, asked)),
    ...(system.length > 0 && { system }),
    messages,
    ...(hasMember(inferenceConfig) && { inferenceConfig }),
    ...(toolConfig !== undefined && { toolConfig }),
    ...(hasMember(modelFields) && { additionalModelRequestFields: modelFields }),
    ...(hasMember(metadata) && { requestMetadata: metadata }),
  };
  return Buffer.from(JSON.stringify(body));
}

function loseUnknown({ candidates, sampling }: ChatInput, { lose }: TypedAsk): void {
  const state = "has no place in Converse";
  if (candidates > 1) lose("candidates", "Converse makes one");
  if ((sampling?.temperature ?? 0) > 1) lose("sampling.temperature", "is at most 1 in Converse");
  if (sampling?.seed !== undefined) lose("sampling.seed", state);
  // Zero is what it is without.
  if ((sampling?.frequencyPenalty ?? 0) !== 0) lose("sampling.frequency_penalty", state);
  if ((sampling?.presencePenalty ?? 0) !== 0) lose("sampling.presence_penalty", state);
}

/** The metadata of a request stand in the log of its calls, by which they can be reported. */
function toEndUser(endUser: string, { lose }: TypedAsk): JsonObject {
  if (endUser === "") return {};
  if (METADATA.test(endUser)) return { end_user: endUser };
  lose("end_user", "has characters that Converse's request metadata can't have");
  return {};
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_OutputFormat.html; the schema travels as text. */
function toOutputConfig({ form }: ResponseFormat, { lose }: TypedAsk): JsonObject {
  if (form.case !== "jsonSchema") {
    lose("response_format.json_object", "Converse needs a schema");
    return {};
  }
  const { name, schemaJson, description } = form.value;
  if (parseObject(schemaJson) === undefined) {
    throw refuse("response_format.json_schema.schema_json", "is not a JSON object");
  }
  const jsonSchema = {
    schema: schemaJson,
    ...(name !== "" && { name }),
    ...(description !== "" && { description }),
  };
  return { outputConfig: { textFormat: { type: "json_schema", structure: { jsonSchema } } } };
}

function hasMember(members: object): boolean {
  return Object.keys(members).length > 0;
}
