import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type PolicyChange, PolicyChangeSchema } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { describeChange } from "./describe-change.ts";

/** What is known of a change; its words follow from it. */
export type ChangeFacts = Omit<MessageInitShape<typeof PolicyChangeSchema>, "message" | "$typeName">;

/** Most letters of a value in a change: enough to know it by. */
const TEXT_LIMIT = 300;

/** Makes a change of its facts, with its message. Values that are long are cut. */
export function createChange({ before = "", after = "", ...facts }: ChangeFacts): PolicyChange {
  const change = create(PolicyChangeSchema, { ...facts, before: cut(before), after: cut(after) });
  change.message = describeChange(change);
  return change;
}

function cut(text: string): string {
  return text.length <= TEXT_LIMIT ? text : `${text.slice(0, TEXT_LIMIT - 1)}…`;
}
