import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Policy, PolicySchema } from "../gen/weir/policy/v1/policy_pb.ts";

/**
 * Makes a policy of proto JSON that code made, such as the example's; `name` stands for it in errors. A field that Policy does not have is
 * refused. What people write is read by policy-tree/, which finds all that is wrong with it and where.
 */
export function toPolicy(json: unknown, name: string): Policy {
  try {
    return fromJson(PolicySchema, json as JsonValue, { ignoreUnknownFields: false });
  } catch (error) {
    throw new Error(`Cannot read policy "${name}": ${(error as Error).message}`);
  }
}
