import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DiscardPolicy } from "nats";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ReleasedSetSchema } from "../../../gen/weir/policy/v1/released_set_pb.ts";
import { HeadSchema, SnapshotKind } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { startNatsMesh, type TestNatsMesh } from "../../../test/parts.ts";
import { type Bus, connectBus } from "../../shared/bus/bus.ts";
import { findLastMessage } from "../../shared/bus/last-message.ts";
import { publish } from "../../shared/bus/publish.ts";
import { type Clock, ManualClock, systemClock } from "../../shared/clock.ts";
import { createSigner } from "../../shared/note/note.ts";
import type { DigestedEntry } from "../../shared/snapshot/bucket.ts";
import { SnapshotHold } from "../../shared/snapshot/hold.ts";
import { walkSecondRoad } from "../../shared/snapshot/second-road.ts";
import {
  SAMPLE_SIGNER,
  SAMPLE_TRUST,
  sampleKeyEntry,
  sampleKeyring,
  sampleNote,
  sampleSnapshot,
} from "../../shared/snapshot/snapshots.fixture.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { advanceKeyring, EMPTY_KEYRING, findChangesSince, type KeyringState } from "../keys/keyring-state.ts";
import type { Catalogue, RegionRelease, Release } from "./catalogue.ts";
import { toChangePiece, toHeadPiece, toKeyringPieces, toSnapshotPieces } from "./pieces.ts";
import { SecondRoad } from "./second-road.ts";
import { toSending } from "./sending.ts";

const log = createLog({ service: "policy", level: process.env.TEST_LOG ?? "fatal" });
let nats: TestNatsMesh;
let policyBus: Bus;
let routerBus: Bus;
let ending: AbortController;

beforeAll(async () => {
  nats = await startNatsMesh();
  policyBus = await connectBus({ urls: [nats.url("policy")], name: "policy", log });
  routerBus = await connectBus({ urls: [nats.url("router-eu")], name: "router eu-1", log });
  await Promise.all([policyBus.ready(), routerBus.ready()]);
}, 60_000);
afterAll(async () => {
  await Promise.all([policyBus.close(), routerBus.close()]);
  await nats.stop();
});
beforeEach(() => {
  ending = new AbortController();
});
afterEach(() => ending.abort());

/** Versions rise over all tests of this file: one server keeps what the test before has laid. */
let version = 0n;

/** What policy has released to eu, filled in by hand. */
class Shelf {
  keyring: KeyringState = EMPTY_KEYRING;
  readonly #digests = new Map<bigint, Uint8Array>();
  #region: RegionRelease = { snapshot: undefined, candidate: undefined, keyring: undefined };
  #changed = Promise.withResolvers<void>();

  get changed() {
    return this.#changed.promise;
  }
  listRegions = () => ["eu"];
  getRegion = () => this.#region;
  findKeyringDigest = async (of: bigint) => this.#digests.get(of);
  putSnapshot() {
    version += 1n;
    const { note, content } = sampleSnapshot(version);
    this.#put({ snapshot: toRelease("snapshot", note, toSnapshotPieces(version, content)) as never });
    return { version, note, content };
  }
  putKeys(entries: readonly DigestedEntry[]) {
    version += 1n;
    this.keyring = advanceKeyring(
      this.keyring,
      version,
      entries.map(({ id, grant }) => ({ id, grant, version })),
    );
    const { tree } = this.keyring;
    const note = sampleNote({ kind: "keyring", version, digest: tree.digest() });
    this.#digests.set(version, tree.digest());
    const pages = [...toKeyringPieces(version, tree.entries())];
    const state = this.keyring;
    const findChange = (base: bigint) => {
      const changes = findChangesSince(state, base);
      return changes && toChangePiece(base, state.version, changes);
    };
    this.#put({ keyring: { ...toRelease("keyring", note, pages, tree.digest()), findChange } });
    return version;
  }
  #put(change: Partial<RegionRelease>) {
    this.#region = { ...this.#region, ...change };
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

function toRelease(
  kind: "snapshot" | "keyring",
  note: Uint8Array,
  pages: ReturnType<typeof toSnapshotPieces>,
  digest: Uint8Array = new Uint8Array(),
): Release {
  const head = toHeadPiece(kind, note);
  // As of now: the next test's versions are none of this one's.
  const at = version;
  return { version: at, digest, pages: pages.map((page) => toSending(page)), end: toSending(head), head };
}

/** A policy that has released a snapshot and so many keys, and lays them. */
function startPolicy(keys = 1, clock: Clock = systemClock): Shelf {
  const shelf = new Shelf();
  shelf.putSnapshot();
  shelf.putKeys(Array.from({ length: keys }, (_, index) => sampleKeyEntry(toKeyId(index))));
  layRoad(shelf, clock);
  return shelf;
}

function layRoad(shelf: Shelf, clock: Clock = systemClock): void {
  const { findKeyringDigest } = shelf;
  const catalogue = shelf as never as Catalogue;
  const road = new SecondRoad({
    bus: policyBus,
    catalogue,
    signer: SAMPLE_SIGNER,
    findKeyringDigest,
    clock,
    log,
  });
  void road.run(ending.signal);
}

/** A router that has nothing else than its own NATS server. */
function startRouter(hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" })) {
  const refused: string[] = [];
  void walkSecondRoad({
    bus: routerBus,
    hold,
    region: "eu",
    isConnected: () => false,
    clock: systemClock,
    log,
    signal: ending.signal,
    onRefused: (kind) => refused.push(kind),
  });
  return { hold, refused };
}

const letters = "abcdefghijklmnopqrstuvwxyz";
function toKeyId(index: number): string {
  return [...String(index).padStart(12, "0")].map((digit) => letters[Number(digit)]).join("");
}

async function until(check: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`Cannot go on: ${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function readSet(kind: "snapshot" | "keyring") {
  const message = await findLastMessage(routerBus, { stream: "RELEASED", subject: `released.eu.${kind}` });
  if (message === undefined || message.payload.length <= 3) return undefined;
  return { set: fromBinary(ReleasedSetSchema, message.payload), sequence: message.sequence };
}

/** Waits until what the shelf has is in the region's server. */
async function laid(shelf: Shelf): Promise<void> {
  const { snapshot, keyring } = shelf.getRegion();
  await until(async () => {
    const there = [await readSet("snapshot"), await readSet("keyring")];
    return there[0]?.set.version === snapshot?.version && there[1]?.set.version === keyring?.version;
  }, "laying what was released");
}

/** Takes all from the region's stream but its last message, a set. */
async function losePages(): Promise<void> {
  const manager = await (await policyBus.ready()).jetstreamManager({ domain: "eu", checkAPI: false });
  await manager.streams.update("RELEASED", { max_msgs: 1, discard: DiscardPolicy.Old });
  const { state } = await manager.streams.update("RELEASED", { max_msgs: -1 });
  expect(state.messages).toBe(1);
}

/** Waits until a router without anything starts from what lies in the region's server. */
async function startsAgain(shelf: Shelf): Promise<void> {
  const { hold } = startRouter();
  await until(() => hold.current() !== undefined, "starting from NATS");
  expect(hold.heldSnapshot()?.head.version).toBe(shelf.getRegion().snapshot?.version);
  expect(hold.current()?.keyring.size).toBe(3);
}

describe("the second road", () => {
  it("brings a router without policy what was last released, in as many pages as it takes", async () => {
    const shelf = startPolicy(8_000);
    const { hold } = startRouter();

    await until(() => hold.current() !== undefined, "starting from NATS");

    expect(hold.heldSnapshot()?.head.version).toBe(shelf.getRegion().snapshot?.version);
    expect(hold.current()?.keyring.size).toBe(8_000);
    expect((await readSet("keyring"))?.set.pages).toBeGreaterThan(2);
  });

  it("brings a change of one key as one message on top of the pages that are there", async () => {
    const shelf = startPolicy(3);
    await laid(shelf);
    const before = (await readSet("keyring"))!;

    shelf.putKeys([sampleKeyEntry(toKeyId(77))]);
    await laid(shelf);
    const { hold } = startRouter();
    await until(() => hold.current() !== undefined, "starting from NATS");

    expect(hold.current()?.keyring.size).toBe(4);
    const { set } = (await readSet("keyring"))!;
    expect(set).toMatchObject({
      pagedVersion: before.set.version,
      slot: before.set.slot,
      version: shelf.keyring.version,
    });
    expect(set.change?.changed).toMatchObject([{ id: toKeyId(77) }]);
  });

  it("C9: a forged set is refused and alarmed, once, what is held stays, and policy puts its own back", async () => {
    const shelf = startPolicy();
    await laid(shelf);
    const { hold } = startRouter();
    await until(() => hold.current() !== undefined, "starting from NATS");
    ending.abort();
    ending = new AbortController();

    const forger = createSigner("weir.local/policy", new Uint8Array(32).fill(9));
    const { tree } = sampleKeyring(version + 100n);
    const note = sampleNote({ kind: "keyring", version: version + 100n, digest: tree.digest() }, forger);
    const forged = (await readSet("keyring"))!.set;
    forged.version = version + 100n;
    forged.head = create(HeadSchema, { kind: SnapshotKind.KEYRING, note });
    const payload = toBinary(ReleasedSetSchema, forged);
    await publish(policyBus, { subject: "released.eu.keyring", payload, messageId: "forged" });
    const fresh = startRouter();
    const holding = startRouter(hold);
    await until(() => fresh.refused.length > 0 && holding.refused.length > 0, "refusing");

    expect(fresh.hold.heldKeyring()).toBeUndefined();
    expect(hold.heldKeyring()?.head.version).toBe(shelf.keyring.version);
    expect(holding.refused).toEqual(["keyring"]);
    layRoad(shelf);
    await laid(shelf);
  });

  it("C9: what was replayed is not taken by a router that holds a newer one", async () => {
    const shelf = startPolicy();
    await laid(shelf);
    const old = (await findLastMessage(routerBus, { stream: "RELEASED", subject: "released.eu.snapshot" }))!.payload;
    shelf.putSnapshot();
    await laid(shelf);
    const { hold, refused } = startRouter();
    await until(() => hold.current() !== undefined, "starting from NATS");
    const held = hold.heldSnapshot()?.head.version;

    await publish(policyBus, { subject: "released.eu.snapshot", payload: old, messageId: "replayed" });
    const again = startRouter(hold);
    await until(async () => (await readSet("snapshot"))?.set.version !== held, "replaying");

    expect(hold.heldSnapshot()?.head.version).toBe(held);
    expect([...refused, ...again.refused]).toEqual([]);
  });

  it("is laid anew where what lies there cannot be read, or is another database's", async () => {
    await laid(startPolicy());
    ending.abort();
    ending = new AbortController();
    const payload = new Uint8Array([255, 255, 255]);
    await publish(policyBus, { subject: "released.eu.snapshot", payload, messageId: "damaged" });

    const other = startPolicy(5);
    await laid(other);
    const { hold } = startRouter();
    await until(() => hold.current() !== undefined, "starting from NATS");

    expect(hold.heldSnapshot()?.head.version).toBe(other.getRegion().snapshot?.version);
    expect(hold.current()?.keyring.size).toBe(5);
  });

  it("is laid again within a look when its pages are lost, and when the region's server comes back empty", async () => {
    const clock = new ManualClock();
    const shelf = startPolicy(3, clock);
    await laid(shelf);
    await clock.whenSleeping();

    await losePages();
    clock.advance(30_000);
    await startsAgain(shelf);
    await clock.whenSleeping();

    await nats.leaves.eu.kill();
    nats.forget("eu");
    await nats.leaves.eu.restart();
    await until(async () => {
      // Each look may find the link not up yet.
      clock.advance(30_000);
      return (await readSet("snapshot").catch(() => undefined)) !== undefined;
    }, "looking after an empty server");
    await startsAgain(shelf);
  });

  it("cannot be written by a router, nor seen from another region", async () => {
    await laid(startPolicy());
    const timeoutMs = 300;
    const payload = new Uint8Array(1);
    await expect(
      publish(routerBus, { subject: "released.eu.keyring", payload, messageId: "x", timeoutMs }),
    ).rejects.toThrow("Cannot publish");

    const usBus = await connectBus({ urls: [nats.url("router-us")], name: "router us-1", log });
    await usBus.ready();
    const options = { stream: "RELEASED", timeoutMs } as const;
    const own = await findLastMessage(usBus, { ...options, subject: "released.eu.keyring" });
    const other = findLastMessage(usBus, { ...options, subject: "released.eu.keyring", domain: "eu" });
    expect(own).toBeUndefined();
    await expect(other).rejects.toThrow("Cannot read");
    await usBus.close();
  });
});
