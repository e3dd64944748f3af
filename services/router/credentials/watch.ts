import type { Client } from "@connectrpc/connect";
import type { CredentialService, WatchCredentialsResponse } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { type Clock, pause } from "../../shared/clock.ts";
import { backOffMs } from "../../shared/snapshot/back-off.ts";
import type { InstanceName } from "../../shared/snapshot/report.ts";
import { endWhenSilent } from "../../shared/snapshot/silence.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { CredentialHold } from "./hold.ts";

/** What a watch needs. */
export interface CredentialWatchOptions {
  readonly client: Client<typeof CredentialService>;
  readonly hold: CredentialHold;
  readonly name: Omit<InstanceName, "build">;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Called when a watch stands: something came. */
  readonly onStand: () => void;
  /** Called for each set that was refused. */
  readonly onRefused: () => void;
}

/**
 * Watches policy until the signal fires and offers to the hold what comes; resolves then and never throws. Without policy what is held
 * goes on serving.
 */
export async function watchCredentials(options: CredentialWatchOptions): Promise<void> {
  const { clock, log, signal } = options;
  let failures = 0;
  while (!signal.aborted) {
    let stood = false;
    const onPiece = () => {
      if (!stood) options.onStand();
      stood = true;
    };
    try {
      await watchOnce(options, onPiece);
    } catch (error) {
      if (signal.aborted) break;
      // Once an outage, not at each try.
      if (failures === 0 || stood)
        log.warn({ error }, "Lost the watch of credentials; those that are held go on serving");
    }
    failures = stood ? 1 : failures + 1;
    await pause(clock, backOffMs(failures), signal);
  }
}

async function watchOnce(options: CredentialWatchOptions, onPiece: () => void): Promise<void> {
  const { client, hold, name, clock, signal } = options;
  const watching = endWhenSilent({ clock, signal, what: "credentials" });
  const { sealed } = hold;
  const { region, instance, boot } = name;
  try {
    const pieces = client.watchCredentials(
      { region, instance, boot, setVersion: sealed?.version ?? 0n, setDigest: sealed?.digest ?? new Uint8Array() },
      // No deadline: it is meant to stand for ever, and silence ends it.
      { signal: watching.signal, timeoutMs: 0 },
    );
    for await (const response of pieces) {
      watching.note();
      await take(response, options);
      onPiece();
    }
  } finally {
    await watching.end();
  }
}

async function take({ piece }: WatchCredentialsResponse, options: CredentialWatchOptions): Promise<void> {
  const { hold, log, onRefused } = options;
  if (piece.case === "heartbeat" && piece.value.setVersion === 0n) hold.confirmNone();
  if (piece.case !== "delivery") return;
  const verdict = await hold.offer(piece.value);
  if (verdict.verdict === "applied") {
    log.info({ version: String(verdict.head.version) }, "Took new credentials");
  } else if (verdict.verdict === "refused") {
    log.error(
      { stage: verdict.stage, reasons: verdict.reasons },
      "Refused credentials that policy sent; those held stay",
    );
    onRefused();
  }
}
