import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { compileRules } from "../validation/compile-rules.ts";
import { createMessageCheck } from "./validate.ts";

/**
 * Creates what holds the requests of one type against the rules in their proto, as the RPC library's handler does, and throws what
 * that throws. Nearly all requests keep the rules, and a compiled look says so in a twentieth of the time; the others are looked at
 * anew for words. `bytes` is the request as it came.
 */
export function createRequestCheck<Desc extends DescMessage>(
  schema: Desc,
): (message: MessageShape<Desc>, bytes: Buffer) => void {
  const check = createMessageCheck();
  const keepsRules = compileRules(schema);
  return (message, bytes) => {
    // Texts stand in a message byte for byte: where there is no byte 0, no text has NUL.
    if (!keepsRules(message) || bytes.includes(0)) check(schema, message);
  };
}
