import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../../shared/telemetry/log.ts";

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Printable ASCII without spaces: what can stand in a header. */
const SECRET = /^[\x21-\x7e]{1,8192}$/;
/** No credential is larger. */
const MOST_BYTES = 8192;

/**
 * Reads the credentials of this router: a directory with one file for each, named as policies name it. Read anew whenever a
 * snapshot is applied, so a changed file is in force with the next one. A file that is no credential is left out with a line
 * in the log that does not quote it; a missing directory is an empty one.
 */
export function readCredentials(directory: string | undefined, log: Log): ReadonlyMap<string, string> {
  const credentials = new Map<string, string>();
  if (directory === undefined) return credentials;
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
      const secret = compact(readFileSync(path, "utf8").trim());
      if (SECRET.test(secret)) credentials.set(name, secret);
      else log.warn({ credential: name }, "Left out a credential: it is empty, or not of printable ASCII");
    } catch (error) {
      log.warn({ credential: name, code: (error as NodeJS.ErrnoException).code }, "Cannot read a credential");
    }
  }
  return credentials;
}

/** A credential of several parts may be a JSON object, which tools write with spaces and lines. */
function compact(secret: string): string {
  if (!secret.startsWith("{")) return secret;
  try {
    return JSON.stringify(JSON.parse(secret));
  } catch {
    // Whose credential it is knows what it must be; the parser's words would quote it.
    return secret;
  }
}

function listNames(directory: string, log: Log): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    log.warn({ code: (error as NodeJS.ErrnoException).code }, "Cannot list credentials");
    return [];
  }
}
