import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { toSecret } from "../../shared/credential/secret.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Credential, CredentialSource, FindCredential } from "./credential.ts";

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** No credential is larger. */
const MOST_BYTES = 8192;

/**
 * Reads credentials that were mounted as files: a directory with one for each, named as policies name it, whatever the organisation. To be
 * read anew whenever a snapshot is applied, so a changed file is in force with the next one. A file that is no credential is left out with
 * a line in the log that does not quote it; a missing directory is an empty one.
 */
export function readCredentialFiles(directory: string, log: Log): FindCredential {
  const credentials = readAll(directory, log);
  return (_, name) => credentials.get(name);
}

/** The credentials of a router that has them as files. */
export function mountCredentials(directory: string, log: Log): CredentialSource {
  let current = readCredentialFiles(directory, log);
  return {
    kind: "files",
    current: () => current,
    isLoaded: () => true,
    read: Promise.resolve(),
    list: () => [],
    reread: () => {
      current = readCredentialFiles(directory, log);
    },
    // Whoever has it read them anew knows.
    onChange: () => undefined,
    close: async () => undefined,
  };
}

/** The credentials of a router that has none: providers that want none can be used. */
export const NO_CREDENTIALS: CredentialSource = {
  kind: "none",
  current: () => findNone,
  isLoaded: () => true,
  read: Promise.resolve(),
  list: () => [],
  reread: () => undefined,
  onChange: () => undefined,
  close: async () => undefined,
};

const findNone: FindCredential = () => undefined;

function readAll(directory: string, log: Log): ReadonlyMap<string, Credential> {
  const credentials = new Map<string, Credential>();
  for (const name of listNames(directory, log)) {
    if (!NAME.test(name)) continue;
    const path = join(directory, name);
    try {
      const facts = statSync(path);
      if (!facts.isFile() || facts.size > MOST_BYTES) {
        log.warn({ credential: name }, "Left out a credential: it is not a small file");
        continue;
      }
      if ((facts.mode & 0o077) !== 0)
        log.warn({ credential: name }, "A credential can be read by others: use mode 0600");
      const secret = toSecret(readFileSync(path, "utf8"));
      if (secret !== undefined) credentials.set(name, { secret, origins: [] });
      else log.warn({ credential: name }, "Left out a credential: it is empty, or not of printable ASCII");
    } catch (error) {
      log.warn({ credential: name, code: (error as NodeJS.ErrnoException).code }, "Cannot read a credential");
    }
  }
  return credentials;
}

function listNames(directory: string, log: Log): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    log.warn({ code: (error as NodeJS.ErrnoException).code }, "Cannot list credentials");
    return [];
  }
}
