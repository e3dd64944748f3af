import { readFileSync, statSync } from "node:fs";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parseDocument } from "yaml";
import { type Policy, PolicySchema } from "../gen/weir/policy/v1/policy_pb.ts";

/** Largest policy file that is read. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Reads a policy from a YAML or JSON file: the proto JSON form of weir.policy.v1.Policy. Throws, with line and column where YAML is
 * at fault, and with the field where the policy is: a field that Policy does not have is refused, since a misspelt limit must not
 * become no limit.
 */
export function readPolicyFile(path: string): Policy {
  if (statSync(path).size > MAX_FILE_BYTES) {
    throw new Error(`Cannot read policy: "${path}" has more than ${MAX_FILE_BYTES} bytes`);
  }
  return parsePolicy(readFileSync(path, "utf8"), path);
}

/** Parses the text of a policy; `name` stands for it in errors. */
export function parsePolicy(text: string, name: string): Policy {
  const document = parseDocument(text, { uniqueKeys: true, strict: true });
  // A warning is something that was read otherwise than it was meant, such as an unknown tag.
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    throw new Error(`Cannot read policy "${name}": ${problem.message}`);
  }
  return toPolicy(document.toJS({ maxAliasCount: 100 }) as JsonValue, name);
}

/** Makes a policy of its proto JSON form. */
export function toPolicy(json: unknown, name: string): Policy {
  try {
    return fromJson(PolicySchema, json as JsonValue, { ignoreUnknownFields: false });
  } catch (error) {
    throw new Error(`Cannot read policy "${name}": ${(error as Error).message}`);
  }
}
