import type { JsonObject } from "@bufbuild/protobuf";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { parseObject } from "../parse-object.ts";

/** The error for a request that is broken, whatever the dialect: ARGUMENT_INVALID with the path of the field. */
export function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}

/** Reads a JSON Schema of a request. Throws ARGUMENT_INVALID when it is no JSON object, or is nested too deep. */
export function parseSchema(json: string, field: string): JsonObject {
  const schema = parseObject(json);
  if (schema === undefined) throw refuse(field, "must be a JSON object");
  return schema;
}
