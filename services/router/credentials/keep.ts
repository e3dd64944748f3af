import { createClient, type Transport } from "@connectrpc/connect";
import { CredentialService } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { type Clock, pause } from "../../shared/clock.ts";
import type { KeyUnwrapper } from "../../shared/credential/key-wrapper.ts";
import type { NoteVerifier } from "../../shared/note/note.ts";
import { backOffMs } from "../../shared/snapshot/back-off.ts";
import type { InstanceName } from "../../shared/snapshot/report.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import type { CredentialSource, HeldCredential } from "./credential.ts";
import { CredentialDisk } from "./disk.ts";
import { CredentialHold } from "./hold.ts";
import { CredentialReporter } from "./report.ts";
import { watchCredentials } from "./watch.ts";

/** What keeping needs. */
export interface KeepCredentialsOptions {
  readonly name: Omit<InstanceName, "build">;
  /** Keys that sign heads, from the trust file. */
  readonly trust: Iterable<NoteVerifier>;
  /** Opens what was sealed for the region. */
  readonly unwrapper: KeyUnwrapper;
  /** Folder for the sealed sets, of this process alone. */
  readonly directory: string;
  /** To policy. Its owner closes it. */
  readonly transport: Transport;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics?: Pick<
    Metrics,
    "weir_router_credentials" | "weir_router_snapshot_version" | "weir_router_snapshot_refusals_total"
  >;
}

/**
 * Keeps the credentials that the region was sent: takes them from disk and from policy at once, whichever is faster, the highest version
 * wins; writes each new set to disk, sealed; tries again to open what did not open; reports what is used.
 */
export function keepCredentials(options: KeepCredentialsOptions): CredentialSource {
  const { name, trust, unwrapper, log, clock, metrics } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const client = createClient(CredentialService, options.transport);
  const hold = new CredentialHold({ trust, region: name.region, unwrapper, signal });
  const disk = new CredentialDisk({ directory: options.directory, log });
  const reporter = new CredentialReporter({ client, hold, name, clock, log, signal });
  const logChanges = createChangeLog(log);
  let reopening: Promise<void> | undefined;
  hold.onChange(() => {
    const held = hold.list();
    logChanges(held);
    metrics?.weir_router_credentials.set({ state: "used" }, held.filter(({ version }) => version > 0n).length);
    metrics?.weir_router_credentials.set({ state: "refused" }, held.filter(({ refusal }) => refusal !== "").length);
    metrics?.weir_router_snapshot_version.set({ kind: "credentials" }, Number(hold.sealed?.version ?? 0n));
    reporter.report();
    void disk.save(hold);
    if (hold.hasRefusals) {
      reopening ??= keepOpening(hold, clock, signal).finally(() => {
        reopening = undefined;
      });
    }
  });
  // Sets are read from the oldest on, and an old one may lack what the newest has: what the region is to have is known after the last.
  let isRead = false;
  const readers = new Set<() => void>();
  const loaded = disk.load(hold).then(() => {
    isRead = true;
    for (const listener of readers) listener();
  });
  const watched = watchCredentials({
    client,
    hold,
    name,
    clock,
    log,
    signal,
    onStand: () => reporter.report(),
    onRefused: () => metrics?.weir_router_snapshot_refusals_total.inc({ kind: "credentials" }),
  });
  return {
    kind: "policy",
    current: () => hold.current(),
    isLoaded: () => isRead && hold.isLoaded,
    read: loaded,
    list: () => hold.list(),
    reread: () => undefined,
    onChange: (listener) => {
      hold.onChange(listener);
      readers.add(listener);
    },
    close: async () => {
      stopping.abort();
      await Promise.all([loaded, watched, reopening, reporter.close()]);
      await disk.save(hold);
    },
  };
}

/** A key management service that was away, or a key that was not yet in its file: tries again, at most every 10 s, until all open. */
async function keepOpening(hold: CredentialHold, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let tries = 1; hold.hasRefusals && !signal.aborted; tries++) {
    await pause(clock, backOffMs(tries), signal);
    if (!signal.aborted) await hold.reopen();
  }
}

/** A line for each credential that is used anew, and for each refusal once, not at each try. */
function createChangeLog(log: Log): (held: readonly HeldCredential[]) => void {
  let known = new Map<string, HeldCredential>();
  return (held) => {
    for (const one of held) {
      const before = known.get(one.name);
      const facts = { credential: one.name, version: String(one.version) };
      if (one.refusal !== "" && one.refusal !== before?.refusal) {
        log.error({ ...facts, refusal: one.refusal }, "A credential does not open; the one before stays in use");
      } else if (one.refusal === "" && one.version !== before?.version) {
        log.info(facts, "Using a credential");
      }
    }
    known = new Map(held.map((one) => [one.name, one]));
  };
}
