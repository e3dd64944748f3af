import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  WatchSnapshotsRequestSchema,
  type WatchSnapshotsResponse,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { advanceKeyring, EMPTY_KEYRING, findChangesSince, type KeyringState } from "../keys/keyring-state.ts";
import type { Catalogue, RegionRelease, Release } from "./catalogue.ts";
import { toChangePiece, toHeadPiece, toKeyringPieces, toSnapshotPieces } from "./pieces.ts";
import { fromSending, type Sending, toSending } from "./sending.ts";
import { Wakes } from "./wake.ts";
import { HEARTBEAT_MS, watchPieces } from "./watch.ts";
import { PATIENCE_MS, SENT_AT_A_TIME, WholeQueue } from "./whole-queue.ts";

/** A catalogue that a test fills by hand. */
class Shelf {
  keyring: KeyringState = EMPTY_KEYRING;
  readonly readAgeMs = 1_500;
  #region: RegionRelease = { snapshot: undefined, candidate: undefined, keyring: undefined };
  #changed = Promise.withResolvers<void>();

  get changed() {
    return this.#changed.promise;
  }
  getRouter() {
    return this.#region;
  }
  putSnapshot(version: bigint, content = new Uint8Array(1)) {
    const head = toHeadPiece("snapshot", new Uint8Array(1));
    const pages = toSnapshotPieces(version, content).map((page) => toSending(page));
    const release: Release = { version, digest: new Uint8Array([Number(version)]), pages, end: toSending(head), head };
    this.#put({ ...this.#region, snapshot: release as RegionRelease["snapshot"] });
  }
  putKey(id: string) {
    const version = this.keyring.version + 1n;
    this.keyring = advanceKeyring(this.keyring, version, [{ id, grant: new Uint8Array([1]), version }]);
    const { tree } = this.keyring;
    const head = toHeadPiece("keyring", new Uint8Array(1));
    const pages = Array.from(toKeyringPieces(version, tree.entries()), (page) => toSending(page));
    const state = this.keyring;
    const findUpdate = (base: bigint) => {
      const change = findChangesSince(state, base);
      return change && toSending(toChangePiece(base, version, change)!, head);
    };
    const keyring = { version, digest: tree.digest(), pages, end: toSending(head), head, findUpdate };
    this.#put({ ...this.#region, keyring });
  }
  #put(region: RegionRelease) {
    this.#region = region;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** A watcher who waits in a queue of its own, unless one is given. */
function watch(shelf: Shelf, clock = new ManualClock(), wholes = new WholeQueue(clock)) {
  const ending = new AbortController();
  const request = create(WatchSnapshotsRequestSchema, { region: "eu" });
  const catalogue = shelf as unknown as Catalogue;
  const wakes = new Wakes(catalogue, clock);
  const pieces = watchPieces(request, { catalogue, clock, wakes, wholes, signal: ending.signal });
  /** What comes next: the messages that come together, one behind the other. */
  const next = async (): Promise<string> =>
    fromSending((await pieces.next()).value as Sending)
      .map(describePiece)
      .join(", ");
  return { next, pieces, ending, clock };
}

function describePiece({ piece }: WatchSnapshotsResponse): string {
  switch (piece.case) {
    case "snapshotPage":
      return `snapshot ${piece.value.version} page ${piece.value.index}`;
    case "keyringPage":
      return `keyring ${piece.value.version} page ${piece.value.index}`;
    case "keyringChange":
      return `keyring ${piece.value.baseVersion} to ${piece.value.version}`;
    default:
      return piece.case ?? "nothing";
  }
}

describe("watchPieces()", () => {
  it("gives a watcher that was slow the latest and none between", async () => {
    const shelf = new Shelf();
    shelf.putSnapshot(1n);
    const { next } = watch(shelf);
    expect([await next(), await next()]).toEqual(["snapshot 1 page 0", "head"]);

    for (const version of [2n, 3n, 4n]) shelf.putSnapshot(version);

    expect([await next(), await next(), await next()]).toEqual(["snapshot 4 page 0", "head", "heartbeat"]);
  });

  it("finishes the pages that it began before it goes on to a newer version", async () => {
    const shelf = new Shelf();
    shelf.putSnapshot(1n, new Uint8Array(600_000));
    const { next } = watch(shelf);
    await next();

    shelf.putSnapshot(2n);

    expect([await next(), await next(), await next(), await next()]).toEqual([
      "snapshot 1 page 1",
      "snapshot 1 page 2",
      "head",
      "snapshot 2 page 0",
    ]);
  });

  it("gives the change that leads to the very version whose head follows, though a newer one has come meanwhile", async () => {
    const shelf = new Shelf();
    shelf.putKey("a");
    const { next } = watch(shelf);
    await next();
    await next();
    shelf.putKey("b");
    const held = await next();

    shelf.putKey("c");

    expect([held, await next()]).toEqual(["keyring 1 to 2, head", "keyring 2 to 3, head"]);
  });

  it("gives several changes of the keyring as one", async () => {
    const shelf = new Shelf();
    shelf.putKey("a");
    const { next } = watch(shelf);
    await next();
    await next();

    shelf.putKey("b");
    shelf.putKey("c");

    expect(await next()).toBe("keyring 1 to 3, head");
  });

  it("gives keys before policy", async () => {
    const shelf = new Shelf();
    shelf.putSnapshot(1n);
    shelf.putKey("a");
    const { next } = watch(shelf);

    expect([await next(), await next(), await next()]).toEqual(["keyring 1 page 0", "head", "snapshot 1 page 0"]);
  });

  it("gives a change while it waits for the next heartbeat", async () => {
    const shelf = new Shelf();
    const { next, clock } = watch(shelf);
    expect(await next()).toBe("heartbeat");

    const waiting = next();
    await clock.whenSleeping(1);
    shelf.putSnapshot(1n);

    expect(await waiting).toBe("snapshot 1 page 0");
  });

  it("gives a heartbeat whenever five seconds passed without one", async () => {
    const { next, clock } = watch(new Shelf());
    await next();

    for (let count = 0; count < 3; count++) {
      const waiting = next();
      await clock.whenSleeping(1);
      clock.advance(HEARTBEAT_MS);
      expect(await waiting).toBe("heartbeat");
    }
  });

  it("C7: sends whole keyrings to a few of many who come from nothing at once, heartbeats to the others, and then theirs in order", async () => {
    const [shelf, clock] = [new Shelf(), new ManualClock()];
    shelf.putKey("a");
    const wholes = new WholeQueue(clock);
    const herd = Array.from({ length: 100 }, () => watch(shelf, clock, wholes));
    const first = await Promise.all(herd.map(({ next }) => next()));
    expect(first.slice(0, SENT_AT_A_TIME)).toEqual(Array(SENT_AT_A_TIME).fill("keyring 1 page 0"));
    expect(first.slice(SENT_AT_A_TIME)).toEqual(Array(100 - SENT_AT_A_TIME).fill("heartbeat"));

    let begun = SENT_AT_A_TIME;
    const pages = herd.slice(SENT_AT_A_TIME).map(async ({ next }) => {
      const page = await next();
      begun += 1;
      return page;
    });
    for (const [index, { next }] of herd.entries()) {
      if (index >= SENT_AT_A_TIME) expect(await pages[index - SENT_AT_A_TIME]).toBe("keyring 1 page 0");
      expect(begun - index).toBeLessThanOrEqual(SENT_AT_A_TIME);
      expect(await next()).toBe("head");
      void next();
    }
  });

  it("sends a waiting watcher its keyring when it hears nothing of those before it for ten seconds, or when they hang up", async () => {
    const [shelf, clock] = [new Shelf(), new ManualClock()];
    shelf.putKey("a");
    const wholes = new WholeQueue(clock);
    const stuck = Array.from({ length: SENT_AT_A_TIME }, () => watch(shelf, clock, wholes));
    for (const { next } of stuck) await next();
    const [early, late] = [watch(shelf, clock, wholes), watch(shelf, clock, wholes)];
    expect([await early.next(), await late.next()]).toEqual(["heartbeat", "heartbeat"]);

    const [one, other] = [early.next(), late.next()];
    await stuck[0]?.pieces.return(undefined);
    expect(await one).toBe("keyring 1 page 0");
    await clock.whenSleeping(2);
    clock.advance(PATIENCE_MS);
    expect(await other).toBe("keyring 1 page 0");
  });

  it("confirms a whole keyring by a heartbeat at once, though one was sent while the watcher waited for its turn", async () => {
    const [shelf, clock] = [new Shelf(), new ManualClock()];
    shelf.putKey("a");
    const wholes = new WholeQueue(clock);
    const before = Array.from({ length: SENT_AT_A_TIME }, () => watch(shelf, clock, wholes));
    for (const { next } of before) await next();
    const { next } = watch(shelf, clock, wholes);
    expect(await next()).toBe("heartbeat");

    await before[0]?.pieces.return(undefined);

    expect([await next(), await next(), await next()]).toEqual(["keyring 1 page 0", "head", "heartbeat"]);
  });

  it("sends a watcher that waits for a whole keyring the snapshot meanwhile", async () => {
    const [shelf, clock] = [new Shelf(), new ManualClock()];
    shelf.putKey("a");
    const wholes = new WholeQueue(clock);
    for (let count = 0; count < SENT_AT_A_TIME; count++) await watch(shelf, clock, wholes).next();
    shelf.putSnapshot(1n);
    const { next } = watch(shelf, clock, wholes);

    expect([await next(), await next(), await next()]).toEqual(["snapshot 1 page 0", "head", "heartbeat"]);
  });

  it("ends when the watcher hangs up", async () => {
    const { pieces, next, ending, clock } = watch(new Shelf());
    await next();

    const waiting = pieces.next();
    await clock.whenSleeping(1);
    ending.abort();

    expect((await waiting).done).toBe(true);
  });
});
