import { fromBinary } from "@bufbuild/protobuf";
import { ReleaseState } from "../../../gen/weir/policy/v1/release_pb.ts";
import { SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { WatchSnapshotsResponse } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Pool, PoolClient } from "../../shared/database/pool.ts";
import { type DecisionTables, indexSnapshot } from "../../shared/decision/tables.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import { runInSlices } from "../../shared/snapshot/slices.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import { advanceKeyringSteps, EMPTY_KEYRING, findChangesSince, type KeyringState } from "../keys/keyring-state.ts";
import { findLatestKeyring, listEntriesSince, listKeyringHeads } from "../store/keyrings.ts";
import { findReleaseUnderWay, listReleaseRegions, listReleaseRouters } from "../store/releases.ts";
import { findSnapshot, listRegions } from "../store/snapshots.ts";
import { type CredentialRelease, type CredentialReleases, readCredentialReleases } from "./credential-releases.ts";
import { toChangePiece, toHeadPiece, toKeyringPieces, toSnapshotPieces } from "./pieces.ts";
import { type Sending, toSending } from "./sending.ts";
import { SharedList } from "./shared-list.ts";

/** A version that can be sent: encoded once, shared by all who watch. */
export interface Release {
  readonly version: bigint;
  readonly digest: Uint8Array;
  /** All of it but its head. Each page is made as it is first read: a whole keyring takes a tenth of a second, and of most nobody wants it. */
  readonly pages: Iterable<Sending>;
  /** Its head, which ends the pages. */
  readonly end: Sending;
  /** The same as a message. */
  readonly head: WatchSnapshotsResponse;
  /** What leads to it from a version that somebody holds; nothing for who needs the whole. Snapshots always travel whole. */
  readonly findChange?: (base: bigint) => WatchSnapshotsResponse | undefined;
  /** The same with the head behind it. */
  readonly findUpdate?: (base: bigint) => Sending | undefined;
}

type FindChange = NonNullable<Release["findChange"]>;

/** A region's latest snapshot. */
export interface SnapshotRelease extends Release {
  readonly policyVersion: bigint;
  /** For explanations: as routers index it. */
  readonly tables: DecisionTables;
}

/** What a region is to run, as far as this instance knows. */
export interface RegionRelease {
  /** What was released to all of its routers. */
  readonly snapshot: SnapshotRelease | undefined;
  /** What a release is bringing in waves; absent when none is under way. */
  readonly candidate: Candidate | undefined;
  readonly keyring: Release | undefined;
}

/** A snapshot that some routers of a region are to run. */
export interface Candidate {
  readonly snapshot: SnapshotRelease;
  /** Whether all routers of the region are. */
  readonly isOpen: boolean;
  /** Names of those that are, when not all are. */
  readonly instances: ReadonlySet<string>;
}

/** What one router is to run. */
export type RouterRelease = Pick<RegionRelease, "snapshot" | "keyring">;

const NOTHING: RegionRelease = { snapshot: undefined, candidate: undefined, keyring: undefined };

/** What a catalogue needs. */
export interface CatalogueOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, "weir_policy_published_version">;
}

/**
 * What is to be distributed, in memory: read from the database when something changed, handed out without it. When the database
 * is away, the last that was read stays.
 */
export class Catalogue {
  readonly #options: CatalogueOptions;
  readonly #regions = new Map<string, RegionRelease>();
  #credentials: CredentialReleases = new Map();
  #keyring: KeyringState = EMPTY_KEYRING;
  #keyringPages: Iterable<Sending> = [];
  #findChange: FindChange = () => undefined;
  #changed = Promise.withResolvers<void>();
  #refreshing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isLoaded = false;
  #readAtMs = 0;

  constructor(options: CatalogueOptions) {
    this.#options = options;
  }

  /** Whether it has been read once. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /**
   * How long ago, in milliseconds, the last reading began that succeeded: what was committed before that is here. Infinity before
   * the first.
   */
  get readAgeMs(): number {
    return this.#isLoaded ? this.#options.clock.monotonicMs() - this.#readAtMs : Number.POSITIVE_INFINITY;
  }

  /** The keyring that all regions honour. */
  get keyring(): KeyringState {
    return this.#keyring;
  }

  /** Resolves at the next change of anything. Take it before you look, so that no change is missed. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** What a region is to run; nothing of it for a region that is unknown. */
  getRegion(region: string): RegionRelease {
    return this.#regions.get(region) ?? NOTHING;
  }

  /** The credentials that a region is to have, sealed; undefined when none was ever set there. */
  findCredentials(region: string): CredentialRelease | undefined {
    return this.#credentials.get(region);
  }

  /** What a router is to run: the released snapshot, or the one under way when its wave has come. Keyrings are never staged. */
  getRouter(region: string, instance: string): RouterRelease {
    const { snapshot, candidate, keyring } = this.getRegion(region);
    const isAdmitted = candidate !== undefined && (candidate.isOpen || candidate.instances.has(instance));
    return { snapshot: isAdmitted ? candidate.snapshot : snapshot, keyring };
  }

  /** Every known region, by id. */
  listRegions(): string[] {
    return [...this.#regions.keys()].sort();
  }

  /**
   * Reads what has changed. Resolves when all that was committed before the call is here; several calls share one reading.
   * Throws UNAVAILABLE when the database does not answer; then what was here stays.
   */
  refresh(): Promise<void> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#read().finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    }
    // The reading under way may have looked before our commit: the next one begins after it.
    this.#next ??= this.#refreshing
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.refresh();
      });
    return this.#next;
  }

  /** As {@link Catalogue.refresh}, for a reader who takes what is here when the database does not answer. Never throws. */
  async refreshIfReachable(): Promise<void> {
    await this.refresh().catch((error: unknown) => {
      this.#options.log.warn({ error }, "Cannot read what is to be distributed; answering from what was read last");
    });
  }

  async #read(): Promise<void> {
    const { pool, clock, log } = this.#options;
    const startedAtMs = clock.monotonicMs();
    const keyring = await this.#readKeyring();
    let isChanged = keyring.version !== this.#keyring.version;
    if (isChanged) {
      this.#keyringPages = new SharedList(encodeEach(toKeyringPieces(keyring.version, keyring.tree.entries())));
      this.#findChange = createFindChange(keyring);
    }
    this.#keyring = keyring;
    const regions = await listRegions(pool);
    const underWay = await readUnderWay(pool);
    const heads = new Map(
      (await listKeyringHeads(pool, keyring.version)).map(({ region, head }) => [region, head] as const),
    );
    for (const { region, releasedVersion } of regions) {
      const before = this.getRegion(region);
      const snapshot = await this.#findSnapshot(region, releasedVersion, before);
      const candidate = await this.#findCandidate(region, underWay, before, snapshot);
      const head = heads.get(region);
      const ring =
        before.keyring?.version === keyring.version || head === undefined ? before.keyring : this.#toRelease(head);
      if (snapshot === before.snapshot && candidate === before.candidate && ring === before.keyring) continue;
      this.#regions.set(region, { snapshot, candidate, keyring: ring });
      this.#gauge(region, snapshot, ring);
      const facts = {
        region,
        snapshot: toText(snapshot),
        candidate: toText(candidate?.snapshot),
        keyring: toText(ring),
      };
      log.info(facts, "Distributing");
      isChanged = true;
    }
    const credentials = await readCredentialReleases(pool, this.#credentials, log);
    isChanged ||= credentials !== this.#credentials;
    this.#credentials = credentials;
    this.#isLoaded = true;
    this.#readAtMs = startedAtMs;
    if (!isChanged) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  // What one of the two was before need not be read again when it becomes the other.
  async #findSnapshot(region: string, version: bigint, before: RegionRelease): Promise<SnapshotRelease | undefined> {
    const known = [before.snapshot, before.candidate?.snapshot].find((snapshot) => snapshot?.version === version);
    return known ?? (version === 0n ? before.snapshot : await this.#readSnapshot(region, version, before.snapshot));
  }

  async #findCandidate(
    region: string,
    underWay: UnderWay | undefined,
    before: RegionRelease,
    released: SnapshotRelease | undefined,
  ): Promise<Candidate | undefined> {
    const found = underWay?.get(region);
    if (found === undefined || found.version === released?.version) return undefined;
    const snapshot = await this.#findSnapshot(region, found.version, {
      ...before,
      snapshot: before.candidate?.snapshot,
    });
    // A damaged one is read as the one before: then there is none.
    if (snapshot?.version !== found.version) return undefined;
    const { isOpen, instances } = found;
    const known = before.candidate;
    const isSame = known?.snapshot === snapshot && known.isOpen === isOpen && known.instances.size === instances.size;
    return isSame ? known : { snapshot, isOpen, instances };
  }

  // What was damaged must not keep what is whole from those who wait for it.
  async #readKeyring(): Promise<KeyringState> {
    try {
      return await readKeyring(this.#options.pool, this.#keyring);
    } catch (error) {
      if (!(error instanceof WeirError) || error.reason !== "INTERNAL") throw error;
      this.#options.log.error({ error }, "The keyring in the database was damaged; keeping the one read before");
      return this.#keyring;
    }
  }

  async #readSnapshot(
    region: string,
    wanted: bigint,
    before: SnapshotRelease | undefined,
  ): Promise<SnapshotRelease | undefined> {
    const stored = await findSnapshot(this.#options.pool, region, wanted);
    if (stored === undefined) return before;
    if (before !== undefined && stored.version < before.version) {
      // Only a database that was set back can say so. Routers would refuse what it has; so does this instance.
      this.#options.log.error(
        { region, version: String(stored.version), before: String(before.version) },
        "The database has an older snapshot than was distributed; keeping the newer one",
      );
      return before;
    }
    const { version, policyVersion, digest, content, head } = stored;
    let tables: DecisionTables;
    try {
      if (Buffer.compare(snapshotDigest(content), digest) !== 0)
        throw new Error("Cannot use it: its digest is another");
      tables = indexSnapshot(fromBinary(SnapshotSchema, content));
    } catch (error) {
      const facts = { error, region, version: String(version) };
      this.#options.log.error(facts, "A snapshot in the database was damaged; keeping the one read before");
      return before;
    }
    const pages = new SharedList(encodeEach(toSnapshotPieces(version, content)));
    const end = toHeadPiece("snapshot", head);
    return { version, policyVersion, digest, pages, end: toSending(end), head: end, tables };
  }

  #toRelease(note: Uint8Array): Release {
    const { version, tree } = this.#keyring;
    const head = toHeadPiece("keyring", note);
    const findChange = this.#findChange;
    // Watchers mostly stand at the same version, so one sending serves them all. Regions differ in their heads only.
    const findUpdate = remember((base: bigint) => {
      const change = findChange(base);
      return change && toSending(change, head);
    });
    return {
      version,
      digest: tree.digest(),
      pages: this.#keyringPages,
      end: toSending(head),
      head,
      findChange,
      findUpdate,
    };
  }

  #gauge(region: string, snapshot: SnapshotRelease | undefined, keyring: Release | undefined): void {
    const gauge = this.#options.metrics?.weir_policy_published_version;
    gauge?.set({ region, kind: "snapshot" }, Number(snapshot?.version ?? 0n));
    gauge?.set({ region, kind: "keyring" }, Number(keyring?.version ?? 0n));
  }
}

/** Finds what leads to a keyring. */
function createFindChange(keyring: KeyringState): FindChange {
  return remember((base) => {
    const changes = base < keyring.version ? findChangesSince(keyring, base) : undefined;
    return changes && toChangePiece(base, keyring.version, changes);
  });
}

function* encodeEach(pages: Iterable<WatchSnapshotsResponse>): Generator<Sending, undefined> {
  for (const page of pages) yield toSending(page);
}

/**
 * The latest keyring, read onto one that is known. Throws INTERNAL when the entries do not give the digest that their version
 * was signed with: somebody changed the table, and no router would take it.
 */
export async function readKeyring(client: Pool | PoolClient, known: KeyringState): Promise<KeyringState> {
  const latest = await findLatestKeyring(client);
  if (latest === undefined || latest.version <= known.version) return known;
  const changes = await listEntriesSince(client, known.version);
  // A commit between the two questions shows entries of a version to come: they are read again then.
  const upToIt = changes.filter(({ version }) => version <= latest.version);
  const keyring = await runInSlices(advanceKeyringSteps(known, latest.version, upToIt));
  if (Buffer.compare(keyring.tree.digest(), latest.digest) === 0) return keyring;
  if (changes.some(({ version }) => version > latest.version)) return await readKeyring(client, known);
  throw new WeirError("INTERNAL", `Cannot read keyring ${latest.version}: its entries have another digest`);
}

/** What a release that is under way has given to whom, by region. */
type UnderWay = ReadonlyMap<string, Omit<Candidate, "snapshot"> & { readonly version: bigint }>;

// Of a halted one nobody gets anything any more: who has it waits for the version before it to come back.
async function readUnderWay(pool: Pool): Promise<UnderWay | undefined> {
  const release = await findReleaseUnderWay(pool);
  if (release === undefined || release.state === ReleaseState.HALTED) return undefined;
  const named = Map.groupBy(await listReleaseRouters(pool, release.releaseId), ({ region }) => region);
  const regions = await listReleaseRegions(pool, release.releaseId);
  return new Map(
    regions.map(({ region, version, isOpen }) => {
      const instances = new Set((named.get(region) ?? []).map(({ instance }) => instance));
      return [region, { version, isOpen, instances }];
    }),
  );
}

function toText(release: Release | undefined): string {
  return String(release?.version ?? 0n);
}

function remember<Key, Value>(find: (key: Key) => Value | undefined): (key: Key) => Value | undefined {
  const known = new Map<Key, Value>();
  return (key) => {
    const value = known.get(key) ?? find(key);
    // Keys come from watchers: of those that lead to nothing there is no end.
    if (value !== undefined) known.set(key, value);
    return value;
  };
}
