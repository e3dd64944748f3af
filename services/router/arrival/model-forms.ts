import type { IncomingHttpHeaders } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import type { Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { CallerFormat } from "./caller-format.ts";
import { openAiModels } from "./chat-completions/models.ts";
import { anthropicModels } from "./messages/models.ts";

/** How the models that a caller may ask for are listed at `/v1/models`, where several kinds of clients look. */
export interface ModelForm {
  /** In which errors are told. */
  readonly format: CallerFormat;
  /** Whether a request is of a client that wants this form. */
  isWanted(headers: IncomingHttpHeaders): boolean;
  composeList(models: readonly Model[]): JsonObject;
  composeModel(model: Model): JsonObject;
}

/** The forms; the first that is wanted counts, and the last one is for everybody. */
const MODEL_FORMS: readonly ModelForm[] = [anthropicModels];

/** The form for a request. */
export function findModelForm(headers: IncomingHttpHeaders): ModelForm {
  return MODEL_FORMS.find((form) => form.isWanted(headers)) ?? openAiModels;
}
