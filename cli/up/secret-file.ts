import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Writes a file that only its owner may read (mode 0600), whole or not at all. */
export function writeSecretFile(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // What lies there, of a write that was cut off or of somebody else, may be open to others, or lead elsewhere.
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, content, { mode: 0o600, flag: "wx" });
  renameSync(`${path}.new`, path);
}

/** Reads a file, or makes it with `create` when there is none yet. */
function readOrCreateSecretFile(path: string, create: () => string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw error;
    }
  }
  const content = create();
  writeSecretFile(path, content);
  return content;
}

/** Reads the passwords of these users from a JSON file (mode 0600), making those that are missing. 192 random bits each. */
export function readOrCreatePasswords<Name extends string>(path: string, names: readonly Name[]): Record<Name, string> {
  const stored = JSON.parse(readOrCreateSecretFile(path, () => "{}")) as Partial<Record<Name, string>>;
  const passwords = Object.fromEntries(names.map((name) => [name, stored[name] ?? randomBytes(24).toString("hex")]));
  if (names.some((name) => stored[name] === undefined)) {
    writeSecretFile(path, `${JSON.stringify({ ...stored, ...passwords }, null, 2)}\n`);
  }
  return passwords as Record<Name, string>;
}
