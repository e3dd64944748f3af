import { readFileSync, rmSync } from "node:fs";
import { writeSecretFile } from "../up/secret-file.ts";

/** What an operator who has signed in holds. As a whole it is a secret. */
export interface Session {
  /** URL of the issuer. */
  readonly issuer: string;
  /** Id by which the issuer knows the command. */
  readonly clientId: string;
  /** What access tokens are asked for, as a URI (RFC 8707). Absent: the token is the one that says who signed in. */
  readonly resource?: string;
  /** What is shown to services. */
  readonly token: string;
  /** When the token ends, milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** What the next token is had by. Absent when the issuer gave none: then the session ends with its token. */
  readonly refreshToken?: string;
}

/** The session that a file holds; undefined when there is none. Throws for a file that holds something else. */
export function findSession(path: string): Session | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const session = JSON.parse(text) as Session;
    if (typeof session.token === "string" && typeof session.expiresAtMs === "number") return session;
  } catch {
    // What it is instead may be a secret of its own, so it is not shown.
  }
  throw new Error(`Cannot read session: "${path}" is none; remove it and sign in again with weir login`);
}

/** Keeps a session in a file that only its owner may read (mode 0600), whole or not at all. */
export function keepSession(path: string, session: Session): void {
  writeSecretFile(path, `${JSON.stringify(session, null, 2)}\n`);
}

/** Forgets the session of a file, if there is one. */
export function forgetSession(path: string): void {
  rmSync(path, { force: true });
}
