import { WeirError } from "../../shared/errors/weir-error.ts";

/** A body that can't be read at all. `state` completes "its body is not as it should be". */
export function malformed(state: string, facts: Readonly<Record<string, string>> = {}): WeirError {
  return new WeirError("BODY_MALFORMED", `Cannot read request: its body is not as it should be: ${state}`, { facts });
}

/** A field of a request that is not as it should be: its path as the caller wrote it, and what is wrong. */
export function invalid(field: string, state: string, facts: Readonly<Record<string, string>> = {}): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot read request: "${field}" ${state}`, {
    facts: { ...facts, field },
    violations: [{ field, description: state }],
  });
}
