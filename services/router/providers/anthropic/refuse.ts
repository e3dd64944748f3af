import type { JsonObject } from "@bufbuild/protobuf";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { parseExact } from "../exact-json.ts";

/** The error for a request that is broken, whatever the dialect: ARGUMENT_INVALID with the path of the field. */
export function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}

/** Reads a JSON Schema of a request. Throws ARGUMENT_INVALID when it is no JSON object. */
export function parseSchema(json: string, field: string): JsonObject {
  const schema = parseJsonObject(json);
  if (schema === undefined) throw refuse(field, "must be a JSON object");
  return schema;
}

/** Reads a JSON object, numbers kept exactly; undefined when it is none, or nested too deep to be read. */
export function parseJsonObject(json: string): JsonObject | undefined {
  let value: unknown;
  try {
    value = parseExact(json);
  } catch {
    return undefined;
  }
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}
