import { createValidator, type Validator } from "@bufbuild/protovalidate";

let validator: Validator | undefined;
let failFastValidator: Validator | undefined;

/**
 * The one protovalidate of the process that names every violation. It compiles the rules of a message when it first sees one, which takes
 * long, and keeps them; so a second one would compile them again. Made when it is first asked for: many processes never need its words.
 */
export function getValidator(): Validator {
  validator ??= createValidator();
  return validator;
}

/**
 * As {@link getValidator}, but it stops at the first violation and names that alone. For messages from outside that may hold very many
 * values: to name all violations costs ten microseconds for each.
 */
export function getFailFastValidator(): Validator {
  failFastValidator ??= createValidator({ failFast: true });
  return failFastValidator;
}
