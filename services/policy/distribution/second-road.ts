import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ReleasedSet, ReleasedSetSchema } from "../../../gen/weir/policy/v1/released_set_pb.ts";
import type { Bus } from "../../shared/bus/bus.ts";
import { listKeptSubjects } from "../../shared/bus/kept-subjects.ts";
import { findLastMessage } from "../../shared/bus/last-message.ts";
import { publish } from "../../shared/bus/publish.ts";
import { ensureStream } from "../../shared/bus/streams.ts";
import type { Clock } from "../../shared/clock.ts";
import { fromEnvelopes } from "../../shared/mesh/envelope.ts";
import { type NoteSigner, type NoteVerifier, openNote, parseVerifierKey } from "../../shared/note/note.ts";
import { Rest } from "../../shared/rest.ts";
import { type HeadKind, parseHead } from "../../shared/snapshot/head.ts";
import { RELEASED_SLOTS, toPageSubject, toSetSubject } from "../../shared/snapshot/released-subjects.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Catalogue, Release } from "./catalogue.ts";

/** What writing the second road needs. */
export interface SecondRoadOptions {
  /** The hub's account MESH, from where each region's server can be reached. */
  readonly bus: Bus;
  readonly catalogue: Catalogue;
  /** The key that heads are signed with: what is not signed by it is none of ours. */
  readonly signer: Pick<NoteSigner, "verifierKey">;
  /** Digest of an earlier version of the keyring; undefined for one that never was. */
  readonly findKeyringDigest: (version: bigint) => Promise<Uint8Array | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A region's server may have lost what it had; this is how often it is looked. */
const LOOK_MS = 30_000;
/** A region whose server does not answer is tried again after this. */
const RETRY_MS = 5_000;
const STEP_TIMEOUT_MS = 2_000;

/**
 * Lays what was released into the stream RELEASED of each region's own NATS server, so that a router can start without the control plane.
 * Writes straight into the region's JetStream domain, over the leaf link: there is no copy on the hub that would have to be mirrored, and a
 * region gets nothing but its own. Of several instances of policy the first writes; the others find it there.
 */
export class SecondRoad {
  readonly #options: SecondRoadOptions;
  /** What each region's server has for sure, by region and kind. */
  readonly #laid = new Map<string, bigint>();
  readonly #failing = new Set<string>();
  readonly #trust: readonly NoteVerifier[];

  constructor(options: SecondRoadOptions) {
    this.#options = options;
    this.#trust = [parseVerifierKey(options.signer.verifierKey)];
  }

  /** Works until the signal fires; resolves then and never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { catalogue, clock } = this.#options;
    let lookAtMs = 0;
    while (!signal.aborted) {
      const rest = new Rest();
      void catalogue.changed.then(() => rest.wake());
      if (clock.monotonicMs() >= lookAtMs) {
        this.#laid.clear();
        lookAtMs = clock.monotonicMs() + LOOK_MS;
      }
      // Side by side: a region that is cut off must not hold up the others.
      await Promise.all(catalogue.listRegions().map((region) => this.#layRegion(region, signal)));
      const restMs = this.#failing.size > 0 ? RETRY_MS : Math.max(0, lookAtMs - clock.monotonicMs());
      await rest.take(clock, restMs, signal);
    }
  }

  async #layRegion(region: string, signal: AbortSignal): Promise<void> {
    const { catalogue, log } = this.#options;
    const { snapshot, keyring } = catalogue.getRegion(region);
    try {
      // Keys first, as on the first road.
      if (keyring !== undefined) await this.#lay(region, "keyring", keyring, signal);
      if (snapshot !== undefined) await this.#lay(region, "snapshot", snapshot, signal);
      this.#failing.delete(region);
    } catch (error) {
      if (!this.#failing.has(region) && !signal.aborted) {
        log.warn({ error, region }, "Cannot lay what was released into a region's NATS; trying for ever");
      }
      this.#failing.add(region);
    }
  }

  async #lay(region: string, kind: HeadKind, release: Release, signal: AbortSignal): Promise<void> {
    const { bus } = this.#options;
    const key = `${region}/${kind}`;
    if (this.#laid.get(key) === release.version) return;
    const at = { domain: region, timeoutMs: STEP_TIMEOUT_MS, signal };
    await ensureStream(bus, "RELEASED", region, at);
    const subject = toSetSubject(region, kind);
    const message = await findLastMessage(bus, { stream: "RELEASED", subject, ...at });
    const there = message && readSet(message.payload, kind, region, this.#trust);
    const isWhole = there !== undefined && (await this.#hasPages(region, kind, there, signal));
    if (isNeeded(there, isWhole, release)) {
      const changed = isWhole ? await this.#toChangedSet(kind, release, there) : undefined;
      const set = changed ?? (await this.#layPages(region, kind, release, there, signal));
      await this.#publish(subject, toBinary(ReleasedSetSchema, set), signal, message?.sequence ?? 0);
    }
    this.#laid.set(key, release.version);
  }

  // The set may be there without its pages: somebody has purged them, or the disk lost them.
  async #hasPages(region: string, kind: HeadKind, { slot, pages }: ReleasedSet, signal: AbortSignal): Promise<boolean> {
    const { bus } = this.#options;
    const at = { domain: region, timeoutMs: STEP_TIMEOUT_MS, signal };
    const subject = `${toSetSubject(region, kind)}.${slot}.*`;
    const kept = await listKeptSubjects(bus, { stream: "RELEASED", subject, ...at });
    for (let page = 0; page < pages; page++) if (!kept.has(toPageSubject(region, kind, slot, page))) return false;
    return true;
  }

  // Of a keyring mostly a few keys have changed, and its pages stay as they are.
  async #toChangedSet(kind: HeadKind, release: Release, there: ReleasedSet): Promise<ReleasedSet | undefined> {
    const { findKeyringDigest } = this.#options;
    if (kind !== "keyring" || there.version >= release.version) return undefined;
    // Pages of another history, of a database that was replaced, lead nowhere.
    const known = await findKeyringDigest(there.pagedVersion);
    if (known === undefined || Buffer.compare(known, there.pagedDigest) !== 0) return undefined;
    const piece = release.findChange?.(there.pagedVersion)?.piece;
    if (piece?.case !== "keyringChange" || release.head.piece.case !== "head") return undefined;
    return create(ReleasedSetSchema, {
      version: release.version,
      head: release.head.piece.value,
      pagedVersion: there.pagedVersion,
      slot: there.slot,
      pages: there.pages,
      pagedDigest: there.pagedDigest,
      change: piece.value,
    });
  }

  async #layPages(
    region: string,
    kind: HeadKind,
    release: Release,
    there: ReleasedSet | undefined,
    signal: AbortSignal,
  ): Promise<ReleasedSet> {
    const { version, digest, head } = release;
    const own = Number(version % BigInt(RELEASED_SLOTS));
    // Until the new set stands, that one counts.
    const slot = own === there?.slot ? (own + 1) % RELEASED_SLOTS : own;
    let pages = 0;
    for (const page of release.pages) {
      for (const message of fromEnvelopes(page)) {
        await this.#publish(toPageSubject(region, kind, slot, pages), message, signal);
        pages += 1;
      }
    }
    return create(ReleasedSetSchema, {
      version,
      ...(head.piece.case === "head" && { head: head.piece.value }),
      pagedVersion: version,
      slot,
      pages,
      pagedDigest: digest,
    });
  }

  // Each under an id of its own: what is laid again because it was lost must not be taken for a repeat.
  async #publish(subject: string, payload: Uint8Array, signal: AbortSignal, after?: number): Promise<void> {
    const { bus } = this.#options;
    const messageId = randomUUID();
    const expected = after === undefined ? {} : { expectedSubjectSequence: after };
    await publish(bus, { subject, payload, messageId, timeoutMs: STEP_TIMEOUT_MS, signal, ...expected });
  }
}

// What cannot be read, or was not signed by us, is written over, whatever version it claims: else a forged one would stay for ever.
function readSet(payload: Uint8Array, kind: HeadKind, region: string, trust: readonly NoteVerifier[]) {
  try {
    const set = fromBinary(ReleasedSetSchema, payload);
    const head = parseHead(openNote(set.head?.note ?? new Uint8Array(), trust).text);
    return head.kind === kind && head.region === region && head.version === set.version ? set : undefined;
  } catch {
    return undefined;
  }
}

// A newer version is another instance's to look after. Of a version there may be two heads: a database that was replaced has signed it again.
function isNeeded(there: ReleasedSet | undefined, isWhole: boolean, { version, head: { piece } }: Release): boolean {
  if (there?.head === undefined || there.version < version) return true;
  const isOwn = piece.case === "head" && Buffer.compare(there.head.note, piece.value.note) === 0;
  return there.version === version && !(isOwn && isWhole);
}
