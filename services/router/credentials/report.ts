import type { Client } from "@connectrpc/connect";
import type { CredentialService } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { type Clock, pause } from "../../shared/clock.ts";
import { backOffMs } from "../../shared/snapshot/back-off.ts";
import type { InstanceName } from "../../shared/snapshot/report.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { CredentialHold } from "./hold.ts";

const TIMEOUT_MS = 5_000;

/** What a reporter needs. */
export interface CredentialReporterOptions {
  readonly client: Client<typeof CredentialService>;
  readonly hold: CredentialHold;
  readonly name: Omit<InstanceName, "build">;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Tells policy which credentials this instance uses, again until it was heard; only the latest counts. */
export class CredentialReporter {
  readonly #options: CredentialReporterOptions;
  #isWanted = false;
  #sending: Promise<void> | undefined;

  constructor(options: CredentialReporterOptions) {
    this.#options = options;
  }

  /** Says how things are now. Returns at once. */
  report(): void {
    if (this.#options.hold.sealed === undefined) return;
    this.#isWanted = true;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Waits until nothing is being said any longer. */
  async close(): Promise<void> {
    await this.#sending;
  }

  async #send(): Promise<void> {
    const { client, hold, name, clock, log, signal } = this.#options;
    const { region, instance, boot } = name;
    let failures = 0;
    while (this.#isWanted && !signal.aborted) {
      this.#isWanted = false;
      try {
        await client.reportCredentials(
          { region, instance, boot, setVersion: hold.sealed?.version ?? 0n, held: hold.list() },
          { timeoutMs: TIMEOUT_MS, signal },
        );
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#isWanted = true;
        failures += 1;
        if (failures === 1) log.warn({ error }, "Cannot report credentials; trying again");
        await pause(clock, backOffMs(failures), signal);
      }
    }
  }
}
