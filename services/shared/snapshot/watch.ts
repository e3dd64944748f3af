import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type Head,
  SnapshotKind,
  SnapshotPhase,
  type SnapshotService,
  type WatchSnapshotsResponse,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type Clock, pause } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { SnapshotAssembly } from "./assembly.ts";
import { backOffMs } from "./back-off.ts";
import type { HeadKind } from "./head.ts";
import type { OfferVerdict, SnapshotHold } from "./hold.ts";
import type { InstanceName, SnapshotReporter } from "./report.ts";
import { endWhenSilent } from "./silence.ts";
import { runInSlices } from "./slices.ts";
import { SUPPORTED_FEATURES } from "./verify.ts";

/** What a watch needs. */
export interface WatchOptions {
  readonly client: Client<typeof SnapshotService>;
  readonly hold: SnapshotHold;
  readonly reporter: SnapshotReporter;
  readonly name: InstanceName;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Called for each snapshot or keyring that was refused. */
  readonly onRefused?: (kind: HeadKind) => void;
  /** Called when a watch stands (something came) and when it is lost. For metrics and status. */
  readonly onConnected?: (connected: boolean) => void;
  /** Called when policy has named what is held of a kind as the newest. */
  readonly onConfirmed?: (kind: HeadKind) => void;
}

/**
 * Watches policy until the signal fires and offers to the hold what comes; resolves then and never throws. It begins anew,
 * with what is held by then, when the connection breaks or is silent. Without policy what is held goes on serving.
 */
export async function watchSnapshots(options: WatchOptions): Promise<void> {
  const { clock, log, signal } = options;
  let failures = 0;
  let wantsWholeKeyring = false;
  while (!signal.aborted) {
    const watch = new Watch(options, wantsWholeKeyring);
    try {
      await watch.run();
    } catch (error) {
      if (signal.aborted) break;
      // Once an outage, not at each try.
      if (failures === 0 || watch.stood)
        log.warn({ error }, "Lost the watch of snapshots; what is held goes on serving");
    }
    if (watch.stood) {
      failures = 0;
      options.onConnected?.(false);
    }
    failures += 1;
    const isFirst = !wantsWholeKeyring;
    wantsWholeKeyring = watch.needsWholeKeyring;
    // A change that does not fit is answered at once, but not twice in a row: then the sender is at fault.
    if (watch.needsWholeKeyring && isFirst) continue;
    await pause(clock, backOffMs(failures), signal);
  }
}

class Watch {
  readonly #options: WatchOptions;
  readonly #wantsWholeKeyring: boolean;
  readonly #assembly = new SnapshotAssembly();
  /** Whether anything came. */
  stood = false;
  /** Whether a change did not lead to the signed digest, so that the next watch must ask for all pages. */
  needsWholeKeyring = false;

  constructor(options: WatchOptions, wantsWholeKeyring: boolean) {
    this.#options = options;
    this.#wantsWholeKeyring = wantsWholeKeyring;
  }

  async run(): Promise<void> {
    const { client, hold, name, clock, signal } = this.#options;
    const snapshot = hold.heldSnapshot()?.head;
    const keyring = this.#wantsWholeKeyring ? undefined : hold.heldKeyring()?.head;
    const watching = endWhenSilent({ clock, signal, what: "snapshots" });
    try {
      const pieces = client.watchSnapshots(
        {
          region: name.region,
          instance: name.instance,
          boot: name.boot,
          snapshotVersion: snapshot?.version ?? 0n,
          snapshotDigest: snapshot?.digest ?? new Uint8Array(),
          keyringVersion: keyring?.version ?? 0n,
          keyringDigest: keyring?.digest ?? new Uint8Array(),
          features: [...SUPPORTED_FEATURES],
        },
        // No deadline: it is meant to stand for ever, and silence ends it.
        { signal: watching.signal, timeoutMs: 0 },
      );
      for await (const response of pieces) {
        watching.note();
        if (!this.stood) this.#stand();
        await this.#take(response);
        if (this.needsWholeKeyring) return;
      }
    } finally {
      await watching.end();
    }
  }

  #stand(): void {
    this.stood = true;
    this.#options.reporter.repeat();
    this.#options.onConnected?.(true);
  }

  async #take({ piece }: WatchSnapshotsResponse): Promise<void> {
    switch (piece.case) {
      case "snapshotPage":
      case "keyringPage":
      case "keyringChange":
        this.#assembly.add(piece);
        break;
      case "head":
        await this.#finish(piece.value);
        break;
      case "heartbeat":
        this.#confirm("snapshot", piece.value.snapshotVersion, piece.value.readAge);
        this.#confirm("keyring", piece.value.keyringVersion, piece.value.readAge);
        break;
      default:
        // A piece that a later policy knows is none of ours.
        break;
    }
  }

  /** Confirms as of when policy read it: an instance that lost its database goes on naming what it read last. */
  #confirm(kind: HeadKind, version: bigint, readAge?: Duration): void {
    const { hold, clock, onConfirmed } = this.#options;
    const ageMs = readAge === undefined ? 0 : Math.max(0, durationMs(readAge));
    hold.confirm(kind, version, clock.nowMs() - ageMs, clock.monotonicMs() - ageMs);
    onConfirmed?.(kind);
  }

  async #finish({ kind, note }: Head): Promise<void> {
    const { hold } = this.#options;
    if (kind === SnapshotKind.SNAPSHOT) {
      this.#report("snapshot", await hold.offerSnapshotInSlices(note, this.#assembly.finishSnapshot()));
      return;
    }
    if (kind !== SnapshotKind.KEYRING) {
      throw new WeirError("SNAPSHOT_REFUSED", "Cannot take head: its kind is unknown", { facts: { stage: "KIND" } });
    }
    const held = hold.heldKeyring();
    const base = held && { version: held.head.version, tree: held.keyring.tree };
    const tree = await runInSlices(this.#assembly.finishKeyringSteps(base));
    if (tree === undefined) {
      this.needsWholeKeyring = true;
      return;
    }
    const verdict = await hold.offerKeyringInSlices(note, tree);
    const isWhole = this.#wantsWholeKeyring || held === undefined;
    if (verdict.verdict === "refused" && verdict.stage === "DIGEST" && !isWhole) {
      this.needsWholeKeyring = true;
      return;
    }
    this.#report("keyring", verdict);
  }

  #report(kind: HeadKind, verdict: OfferVerdict): void {
    const { hold, reporter, log } = this.#options;
    // Our own copy came by another road meanwhile; it was reported then.
    if (verdict.verdict === "refused" && verdict.stage === "STALE") return;
    const head = verdict.head;
    const runningVersion = (kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring())?.head.version ?? 0n;
    const say = (phase: SnapshotPhase, reasons: readonly string[] = []) =>
      reporter.report({
        kind,
        version: head?.version ?? 0n,
        digest: head?.digest ?? new Uint8Array(),
        phase,
        reasons,
        runningVersion,
      });
    if (verdict.verdict === "refused") {
      this.#options.onRefused?.(kind);
      log.error(
        { kind, stage: verdict.stage, reasons: verdict.reasons },
        "Refused what policy sent; what is held stays",
      );
      say(SnapshotPhase.RECEIVED);
      say(
        SnapshotPhase.REFUSED,
        verdict.reasons.map((reason) => `${verdict.stage}: ${reason}`),
      );
      return;
    }
    say(SnapshotPhase.RECEIVED);
    say(SnapshotPhase.VALIDATED);
    say(SnapshotPhase.APPLIED);
    if (verdict.verdict === "applied") log.info({ kind, version: String(head?.version) }, "Applied a new version");
  }
}
