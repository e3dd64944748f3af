import type { Message } from "@bufbuild/protobuf";
import { pathToString, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Policy, PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { getValidator } from "../../shared/validation/validator.ts";
import type { Report } from "./finding.ts";

/** Holds each field against the constraints in the proto; a rule "string.pattern" is reported as STRING_PATTERN. */
export function checkFields(policy: Policy, error: Report): void {
  const result = getValidator().validate(PolicySchema, policy);
  if (result.kind === "error") throw result.error;
  for (const violation of result.violations ?? []) {
    error(pathToString(violation.field), toRule(violation.ruleId), `${violation.message}`);
  }
  checkText(reflect(PolicySchema, policy), "", error);
}

function toRule(ruleId: string): string {
  return ruleId.toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_");
}

// Walks what the constraints do not see: fields that this version of Weir does not know, and text that no database stores.
function checkText(message: ReflectMessage, path: string, error: Report): void {
  for (const { no } of (message.message as Message).$unknown ?? []) {
    // Dropping it would turn a limit that a newer Weir understands into no limit.
    error(path, "FIELD_UNKNOWN", `Field number ${no} is not known to this version of Weir`);
  }
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const at = path === "" ? field.name : `${path}.${field.name}`;
    // A condition may be written on several lines.
    const isExpression = field.parent.name === "Rule" && field.name === "when";
    if (isExpression) checkControl((message.get(field) as string).replaceAll(/[\n\r\t]/g, " "), at, error);
    else if (field.fieldKind === "scalar") checkControl(message.get(field), at, error);
    else if (field.fieldKind === "message") checkText(message.get(field), at, error);
    else if (field.fieldKind === "list") {
      let index = 0;
      for (const item of message.get(field)) {
        if (field.listKind === "message") checkText(item as ReflectMessage, `${at}[${index}]`, error);
        else checkControl(item, `${at}[${index}]`, error);
        index++;
      }
    }
  }
}

function checkControl(value: unknown, path: string, error: Report): void {
  if (typeof value !== "string") return;
  // Those that turn the direction of text make it look like another text.
  if (/[\p{Cc}\p{Bidi_Control}]/u.test(value)) error(path, "TEXT_CONTROL", "Must not hold control characters");
}
