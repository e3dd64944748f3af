import { dirname } from "node:path";
import { systemClock } from "../../services/shared/clock.ts";
import { type FolderLock, lockFolder } from "../../services/shared/folder-lock.ts";
import { renewSession } from "./issuer.ts";
import { findSession, forgetSession, keepSession, type Session } from "./session-file.ts";

/** A token that ends sooner is renewed first: a command may take as long, and clocks differ. */
const LEFT_MS = 60_000;
/** How long another command may take to renew it. */
const LOCK_TIMEOUT_MS = 15_000;
const LOCK_POLL_MS = 50;

/**
 * The token of the session that a file holds, renewed and kept when it is about to end; undefined when nobody has signed in. Throws when the
 * issuer does not renew it. Of several commands that start at once one asks: issuers take it for theft when the same is asked for twice.
 */
export async function findSessionToken(path: string, nowMs: number): Promise<string | undefined> {
  const found = findSession(path);
  if (found === undefined || isGood(found, nowMs)) return found?.token;
  const lock = await takeLock(dirname(path));
  try {
    const session = findSession(path);
    // Another command has renewed or forgotten it meanwhile.
    if (session === undefined || isGood(session, nowMs)) return session?.token;
    const renewed = await renewSession(session);
    keepSession(path, renewed);
    return renewed.token;
  } finally {
    await lock.release();
  }
}

/**
 * Takes the session out of its file, for good; undefined when nobody has signed in. A command that is just renewing it is waited for: it would
 * write it back.
 */
export async function takeSession(path: string): Promise<Session | undefined> {
  if (findSession(path) === undefined) return undefined;
  const lock = await takeLock(dirname(path));
  try {
    const session = findSession(path);
    forgetSession(path);
    return session;
  } finally {
    await lock.release();
  }
}

function isGood({ expiresAtMs }: Session, nowMs: number): boolean {
  return expiresAtMs - nowMs >= LEFT_MS;
}

async function takeLock(folder: string): Promise<FolderLock> {
  const deadlineMs = systemClock.monotonicMs() + LOCK_TIMEOUT_MS;
  for (;;) {
    const lock = await lockFolder(folder);
    if (lock !== undefined) return lock;
    if (systemClock.monotonicMs() > deadlineMs) throw new Error("Cannot use session: another command is renewing it");
    await systemClock.sleep(LOCK_POLL_MS);
  }
}
