import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isSeq, parseDocument } from "yaml";
import { ADMIN_ENVIRONMENT } from "../services/shared/authority/authority.ts";
import { parseOperators } from "../services/shared/authority/operators-file.ts";
import { HOLDERS, type RoleName } from "../services/shared/authority/roles.ts";
import { createKey, parseKey } from "../services/shared/key/key.ts";
import { writeSecretFile } from "./up/secret-file.ts";

/** What a new admin key may do, and where. */
export interface AdminKeyOptions {
  /** Name for people. */
  readonly displayName: string;
  readonly roles: readonly RoleName[];
  /** Id of the organisation; "*" for the whole mesh. */
  readonly organisation: string;
  /** Id of the environment; empty for all of them. */
  readonly environment?: string;
  /** When it stops being good. Absent means never. */
  readonly expiresAt?: Date;
}

/** Every role that there is, by the table of who may do what. */
export const ALL_ROLES: readonly RoleName[] = [
  ...new Set(Object.values(HOLDERS).flatMap(({ roles = [] }) => roles)),
].sort();

/**
 * Makes an admin key and writes its hash and what it may do into the operators' document, which is made when it is not there; the rest of the
 * document stays as it is, comments too. Returns the key: it is kept nowhere. Throws, and writes nothing, when the document would be wrong.
 */
export function addAdminKey(path: string, options: AdminKeyOptions): { readonly id: string; readonly text: string } {
  const { keyId: id, text, sha256 } = createKey(ADMIN_ENVIRONMENT);
  const document = parseDocument(existsSync(path) ? readFileSync(path, "utf8") : HEADING, { strict: true });
  if (document.errors[0]) throw new Error(`Cannot read operators "${path}": ${document.errors[0].message}`);
  const { displayName, roles, organisation, environment, expiresAt } = options;
  const grant = {
    roles: roles.map((role) => `ROLE_${role}`),
    organisation,
    ...(environment && { environment }),
  };
  const key = document.createNode({
    id,
    sha256: Buffer.from(sha256).toString("hex"),
    displayName,
    grants: [grant],
    ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
  });
  const keys = document.get("adminKeys");
  if (isSeq(keys)) keys.add(key);
  else document.set("adminKeys", document.createNode([key]));
  const content = document.toString();
  parseOperators(content);
  writeFileSync(`${path}.new`, content, { mode: 0o644 });
  renameSync(`${path}.new`, path);
  return { id, text };
}

/** The admin key of a mesh on this machine: the one of its file when the document knows it, else a new one, which is written there (mode 0600). */
export function ensureAdminKey(files: { readonly operators: string; readonly adminKey: string }): {
  readonly made: boolean;
} {
  const id = existsSync(files.adminKey) ? parseKey(readFileSync(files.adminKey, "utf8").trim())?.keyId : undefined;
  const isKnown =
    id !== undefined &&
    existsSync(files.operators) &&
    parseOperators(readFileSync(files.operators, "utf8")).adminKeys.has(id);
  if (isKnown) return { made: false };
  const options = { displayName: "Admin key of weir up", roles: ALL_ROLES, organisation: "*" };
  writeSecretFile(files.adminKey, `${addAdminKey(files.operators, options).text}\n`);
  return { made: true };
}

const HEADING = `# Who operates this mesh: weir.type.v1.Operators (proto/weir/type/v1/operators.proto). Services read it again when it changes.
`;
