import { systemClock } from "../clock.ts";
import { createKey, hashKey } from "../key/key.ts";
import { createLog } from "../telemetry/log.ts";
import { ADMIN_ENVIRONMENT, Authority } from "./authority.ts";
import { parseOperators } from "./operators-file.ts";

/** A role grant as an operators' document has it, with roles such as "ROLE_VIEWER". */
export interface TestRoleGrant {
  readonly roles: readonly string[];
  readonly organisation: string;
  readonly environment?: string;
}

/** Operators by name, known by a document as a mesh has one: the authority of a server for them, and the admin key of each. */
export function createTestOperators<Name extends string>(
  grants: Readonly<Record<Name, readonly TestRoleGrant[]>>,
): { readonly authority: Authority; readonly tokens: Readonly<Record<Name, string>> } {
  const operators = (Object.keys(grants) as Name[]).map((name) => ({ name, ...createKey(ADMIN_ENVIRONMENT) }));
  const adminKeys = operators.map(({ name, keyId, text }) => ({
    id: keyId,
    sha256: Buffer.from(hashKey(text)).toString("hex"),
    displayName: name,
    grants: grants[name],
  }));
  const authority = new Authority({
    operators: parseOperators(JSON.stringify({ adminKeys })),
    clock: systemClock,
    log: createLog({ service: "test", level: "silent" }),
  });
  const tokens = Object.fromEntries(operators.map(({ name, text }) => [name, text])) as Record<Name, string>;
  return { authority, tokens };
}
