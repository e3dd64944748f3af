import { createValidator, type Validator } from "@bufbuild/protovalidate";

let validator: Validator | undefined;

/**
 * The one protovalidate of the process. It compiles the rules of a message when it first sees one, which takes long, and keeps them; so a
 * second one would compile them again. Made when it is first asked for: many processes never need its words.
 */
export function getValidator(): Validator {
  validator ??= createValidator();
  return validator;
}
