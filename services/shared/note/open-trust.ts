import { readFileSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { watchFile } from "../watch-file.ts";
import type { NoteVerifier } from "./key.ts";
import { parseTrust } from "./trust.ts";

/** What trust is opened with. */
export interface OpenTrustOptions {
  /** Path of the trust file, for `parseTrust`. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the watch over the file. */
  readonly signal: AbortSignal;
}

/**
 * Opens a trust file, and reads it again whenever it changes: the signing key is rotated without a restart of whoever trusts it. Iterate
 * over what it returns at each use. Throws SETTING_INVALID when the file is wrong at the start; a mistake that comes later is logged, and
 * the last good keys stay.
 */
export function openTrust({ path, clock, log, signal }: OpenTrustOptions): Iterable<NoteVerifier> {
  const content = readTrust(path);
  let verifiers = parseTrust(content.toString());
  const onFailure = (error: unknown) =>
    log.error({ err: error }, "Cannot take the trust file; the last good one stays");
  const onChange = (changed: Buffer) => {
    try {
      verifiers = parseTrust(changed.toString());
      log.info({ path, keys: verifiers.length }, "Trust changed");
    } catch (error) {
      onFailure(error);
    }
  };
  void watchFile({ path, content, onChange, onFailure, clock }, signal);
  return { [Symbol.iterator]: () => verifiers[Symbol.iterator]() };
}

function readTrust(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new WeirError("SETTING_INVALID", `Cannot read trust file: the file of WEIR_TRUST cannot be read: ${code}`, {
      facts: { setting: "WEIR_TRUST", code },
      cause,
    });
  }
}
