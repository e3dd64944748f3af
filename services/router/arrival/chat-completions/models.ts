import type { JsonObject } from "@bufbuild/protobuf";
import type { Model } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { ModelForm } from "../model-forms.ts";
import { chatCompletions } from "./chat-completions.ts";

/** Models as OpenAI lists them (https://platform.openai.com/docs/api-reference/models/object). Weir knows no date of making. */
export const openAiModels: ModelForm = {
  format: chatCompletions,
  isWanted: () => true,
  composeList: (models) => ({ object: "list", data: models.map(toModel) }),
  composeModel: toModel,
};

function toModel({ id, displayName }: Model): JsonObject {
  return {
    id,
    object: "model",
    created: 0,
    owned_by: "weir",
    ...(displayName !== "" && { display_name: displayName }),
  };
}
