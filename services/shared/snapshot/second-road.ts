import { fromBinary } from "@bufbuild/protobuf";
import { type ReleasedSet, ReleasedSetSchema } from "../../../gen/weir/policy/v1/released_set_pb.ts";
import { WatchSnapshotsResponseSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Bus } from "../bus/bus.ts";
import { findLastMessage, type KeptMessage } from "../bus/last-message.ts";
import { type Clock, pause } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { SnapshotAssembly } from "./assembly.ts";
import type { HeadKind } from "./head.ts";
import type { OfferVerdict, SnapshotHold } from "./hold.ts";
import { RELEASED_SLOTS, toPageSubject, toSetSubject } from "./released-subjects.ts";
import { runInSlices } from "./slices.ts";

/** How often it is looked at while policy is away: without anything to serve by, and with. */
const HUNGRY_MS = 2_000;
const LOOK_MS = 10_000;
/** Pages of a set: 64 MiB of a snapshot and 512 MiB of a keyring at 256 KiB, and as much again, since pages of keyrings are not full. */
const PAGES_LIMIT = 4_096;
const KINDS: readonly HeadKind[] = ["keyring", "snapshot"];

/** What the second road needs. */
export interface SecondRoadOptions {
  /** To the region's own NATS server. */
  readonly bus: Bus;
  readonly hold: SnapshotHold;
  readonly region: string;
  /** Whether the watch of policy stands: then this road is not needed. */
  readonly isConnected: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Called for each set that was refused. */
  readonly onRefused?: (kind: HeadKind) => void;
}

/**
 * Takes what was released from the stream of the region's own NATS server, at the start and while policy is away, until the signal fires;
 * resolves then and never throws. What lies there is as untrusted as any road: it goes through the same checks, and an older version than is
 * held is not even looked at.
 */
export async function walkSecondRoad(options: SecondRoadOptions): Promise<void> {
  const { bus, clock, log, signal, isConnected } = options;
  const refused = new Map<HeadKind, number>();
  let isFailing = false;
  while (!signal.aborted) {
    try {
      // The server may be away at the start: it is waited for, and then looked at once whatever policy does meanwhile.
      await bus.ready(signal);
      if (!isConnected()) for (const kind of KINDS) await takeSet(options, kind, refused);
      isFailing = false;
    } catch (error) {
      if (signal.aborted) break;
      if (!isFailing) log.warn({ error }, "Cannot read from NATS what was released; trying again");
      isFailing = true;
    }
    await pause(clock, options.hold.current() === undefined ? HUNGRY_MS : LOOK_MS, signal);
  }
}

async function takeSet(
  { bus, hold, region, clock, log, signal, onRefused }: SecondRoadOptions,
  kind: HeadKind,
  refused: Map<HeadKind, number>,
): Promise<void> {
  const message = await findLastMessage(bus, { stream: "RELEASED", subject: toSetSubject(region, kind), signal });
  // What was refused is refused again: once is enough to say so, and to work on it.
  if (message === undefined || refused.get(kind) === message.sequence) return;
  const held = (kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring())?.head.version ?? 0n;
  const began = clock.monotonicMs();
  const verdict = await offerSet({ bus, hold, region, signal }, kind, message, held);
  if (verdict === undefined || verdict.verdict === "unchanged") return;
  if (verdict.verdict === "applied") {
    const tookMs = Math.round(clock.monotonicMs() - began);
    log.info({ kind, version: String(verdict.head.version), tookMs }, "Applied a version from NATS");
    return;
  }
  // Another road was faster, which is what they are for.
  if (verdict.stage === "STALE") return;
  refused.set(kind, message.sequence);
  onRefused?.(kind);
  log.error({ kind, stage: verdict.stage, reasons: verdict.reasons }, "Refused what lies in NATS; what is held stays");
}

type Source = Pick<SecondRoadOptions, "bus" | "hold" | "region" | "signal">;

// Undefined for what is not newer than what is held, or was being written over while it was read: it is looked at again.
async function offerSet(
  source: Source,
  kind: HeadKind,
  { payload }: KeptMessage,
  held: bigint,
): Promise<OfferVerdict | undefined> {
  const set = readSet(payload);
  if (set?.head === undefined) return refuse("it is no set of pages");
  if (set.version <= held) return undefined;
  if (set.pages < 1 || set.pages > PAGES_LIMIT || set.slot < 0 || set.slot >= RELEASED_SLOTS) {
    return refuse(`it has ${set.pages} pages in slot ${set.slot}`);
  }
  const assembly = new SnapshotAssembly();
  try {
    if (!(await readPages(source, kind, set, assembly))) return undefined;
    if (kind === "snapshot") {
      return await source.hold.offerSnapshotInSlices(set.head.note, assembly.finishSnapshot());
    }
    const pages = await runInSlices(assembly.finishKeyringSteps(undefined));
    const { change } = set;
    const tree =
      change === undefined ? pages : pages && (await runInSlices(pages.applySteps(change.changed, change.removedIds)));
    return tree === undefined ? undefined : await source.hold.offerKeyringInSlices(set.head.note, tree);
  } catch (error) {
    if (error instanceof WeirError && error.reason === "SNAPSHOT_REFUSED") return refuse(error.message);
    throw error;
  }
}

function readSet(payload: Uint8Array): ReleasedSet | undefined {
  try {
    return fromBinary(ReleasedSetSchema, payload);
  } catch {
    return undefined;
  }
}

// False when a page is missing or is of another version: policy is writing, or somebody has removed it.
async function readPages(
  { bus, region, signal }: Source,
  kind: HeadKind,
  { slot, pages, pagedVersion }: ReleasedSet,
  assembly: SnapshotAssembly,
): Promise<boolean> {
  for (let page = 0; page < pages; page++) {
    const subject = toPageSubject(region, kind, slot, page);
    const message = await findLastMessage(bus, { stream: "RELEASED", subject, signal });
    if (message === undefined) return false;
    const { piece } = fromPage(message.payload);
    if (piece.case !== (kind === "snapshot" ? "snapshotPage" : "keyringPage")) throw refusePage(page, "it is no page");
    if (piece.value.version !== pagedVersion) return false;
    assembly.add(piece);
  }
  return true;
}

function fromPage(payload: Uint8Array) {
  try {
    return fromBinary(WatchSnapshotsResponseSchema, payload);
  } catch (error) {
    throw new WeirError("SNAPSHOT_REFUSED", "Cannot read page: it does not decode", { cause: error });
  }
}

function refusePage(page: number, state: string): WeirError {
  return new WeirError("SNAPSHOT_REFUSED", `Cannot read page ${page}: ${state}`, { facts: { page: String(page) } });
}

function refuse(reason: string): OfferVerdict {
  return { verdict: "refused", stage: "DECODE", reasons: [reason] };
}
