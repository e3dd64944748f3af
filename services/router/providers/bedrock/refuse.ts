import { WeirError } from "../../../shared/errors/weir-error.ts";

/** What is thrown for a field that is broken, whatever it is sent to. */
export function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}
