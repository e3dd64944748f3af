import type { JsonObject } from "@bufbuild/protobuf";
import type { Model } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { ModelForm } from "../model-forms.ts";
import { messages } from "./messages.ts";

/**
 * Models as Anthropic lists them (https://platform.claude.com/docs/en/api/models-list), for clients that say which version of its API
 * they speak. All are on one page. Weir knows no date of making, and the format wants one.
 */
export const anthropicModels: ModelForm = {
  format: messages,
  isWanted: (headers) => headers["anthropic-version"] !== undefined,
  composeList: (models) => ({
    data: models.map(toModel),
    has_more: false,
    first_id: models[0]?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  }),
  composeModel: toModel,
};

function toModel({ id, displayName }: Model): JsonObject {
  return { type: "model", id, display_name: displayName === "" ? id : displayName, created_at: "1970-01-01T00:00:00Z" };
}
