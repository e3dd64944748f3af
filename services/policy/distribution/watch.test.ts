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
import { Wakes } from "./wake.ts";
import { HEARTBEAT_MS, watchPieces } from "./watch.ts";

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
    const pieces = () => [...toSnapshotPieces(version, content), head];
    const release: Release = { version, digest: new Uint8Array([Number(version)]), pieces, parts: pieces(), head };
    this.#put({ ...this.#region, snapshot: release as RegionRelease["snapshot"] });
  }
  putKey(id: string) {
    const version = this.keyring.version + 1n;
    this.keyring = advanceKeyring(this.keyring, version, [{ id, grant: new Uint8Array([1]), version }]);
    const { tree } = this.keyring;
    const head = toHeadPiece("keyring", new Uint8Array(1));
    const pieces = () => [...toKeyringPieces(version, tree.entries()), head];
    const state = this.keyring;
    const findChange = (base: bigint) => {
      const changes = findChangesSince(state, base);
      return changes && toChangePiece(base, version, changes);
    };
    const keyring = { version, digest: tree.digest(), pieces, parts: pieces(), head, findChange };
    this.#put({ ...this.#region, keyring });
  }
  #put(region: RegionRelease) {
    this.#region = region;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

function watch(shelf: Shelf, clock = new ManualClock()) {
  const ending = new AbortController();
  const request = create(WatchSnapshotsRequestSchema, { region: "eu" });
  const catalogue = shelf as unknown as Catalogue;
  const wakes = new Wakes(catalogue, clock);
  const pieces = watchPieces(request, { catalogue, clock, wakes, signal: ending.signal });
  const next = async (): Promise<string> => describePiece((await pieces.next()).value as WatchSnapshotsResponse);
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

    expect([held, await next(), await next(), await next()]).toEqual([
      "keyring 1 to 2",
      "head",
      "keyring 2 to 3",
      "head",
    ]);
  });

  it("gives several changes of the keyring as one", async () => {
    const shelf = new Shelf();
    shelf.putKey("a");
    const { next } = watch(shelf);
    await next();
    await next();

    shelf.putKey("b");
    shelf.putKey("c");

    expect([await next(), await next()]).toEqual(["keyring 1 to 3", "head"]);
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

  it("ends when the watcher hangs up", async () => {
    const { pieces, next, ending, clock } = watch(new Shelf());
    await next();

    const waiting = pieces.next();
    await clock.whenSleeping(1);
    ending.abort();

    expect((await waiting).done).toBe(true);
  });
});
