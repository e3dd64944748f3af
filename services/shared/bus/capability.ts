import type { NatsConnection } from "nats";
import { WeirError } from "../errors/weir-error.ts";

/**
 * Oldest server that we work with, and so the newest options that we may use: an older server ignores an option it does not
 * know without a word. Debian 12 has 2.9.10. Not in 2.9, so not used here: several filter subjects for a consumer, stream
 * metadata and compression, subject transforms (2.10), message TTL and consumer pause (2.11), atomic batches (2.12).
 */
const OLDEST_SERVER = "2.9.0";

/** Throws SETTING_INVALID when the server is too old for us, or has no JetStream. */
export function checkServer(connection: NatsConnection): void {
  const info = connection.info;
  const version = info?.version ?? "0";
  if (!isAtLeast(version, OLDEST_SERVER)) {
    throw new WeirError(
      "SETTING_INVALID",
      `Cannot use NATS: the server is ${version}, must be ${OLDEST_SERVER} or newer`,
      {
        facts: { version, oldest: OLDEST_SERVER },
      },
    );
  }
}

/** Compares dotted versions by number; a suffix such as `-beta` is left out. */
export function isAtLeast(version: string, oldest: string): boolean {
  const a = parts(version);
  const b = parts(oldest);
  for (let index = 0; index < 3; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function parts(version: string): number[] {
  return version.split(/[.-]/, 3).map((part) => Number.parseInt(part, 10) || 0);
}
