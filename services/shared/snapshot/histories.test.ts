import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  SnapshotKind,
  type SnapshotService,
  type WatchSnapshotsRequest,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import type { DigestedEntry } from "./bucket.ts";
import { KeyringTree } from "./digest.ts";
import { SnapshotHold } from "./hold.ts";
import { SnapshotReporter } from "./report.ts";
import { SAMPLE_TRUST, sampleKeyEntry, sampleNote } from "./snapshots.fixture.ts";
import { watchSnapshots } from "./watch.ts";

const log = createLog({ service: "test", level: "silent" });
const name = { region: "eu", instance: "eu-1", boot: "life-1", build: "0.1.0" };
/** Time stands still, and nobody waits. */
const clock: Clock = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  sleep: () => new Promise((resolve) => setImmediate(resolve)),
};

const KEYS = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"];

interface Version {
  readonly tree: KeyringTree;
  readonly note: Uint8Array;
}

/** Stands for the grant of an id that is not there: none of ours is empty. */
const NOTHING = new Uint8Array();

/** What a way does to a row of pieces. */
type Fault = { readonly kind: "lose" | "repeat" | "swap"; readonly at: number };

function toPiece(piece: WatchSnapshotsResponse["piece"]): WatchSnapshotsResponse {
  return create(WatchSnapshotsResponseSchema, { piece: piece as never });
}

/** The pieces of a version: its pages, a key each, or the change from another one; then the head. */
function toPieces(versions: readonly Version[], version: number, base: number | undefined): WatchSnapshotsResponse[] {
  const { tree, note } = versions[version] as Version;
  const head = toPiece({ case: "head", value: { kind: SnapshotKind.KEYRING, note } as never });
  const at = BigInt(version + 1);
  if (base !== undefined) {
    const from = (versions[base] as Version).tree;
    const changed = [...tree.entries()].filter(
      ({ id, grant }) => Buffer.compare(from.find(id) ?? NOTHING, grant) !== 0,
    );
    const removedIds = [...from.entries()].flatMap(({ id }) => (tree.find(id) === undefined ? [id] : []));
    const value = { baseVersion: BigInt(base + 1), version: at, changed, removedIds };
    return [toPiece({ case: "keyringChange", value: value as never }), head];
  }
  const entries: (DigestedEntry | undefined)[] = [...tree.entries()];
  if (entries.length === 0) entries.push(undefined);
  const pages = entries.map((entry, index) =>
    toPiece({
      case: "keyringPage",
      value: { version: at, index, entries: entry === undefined ? [] : [entry] } as never,
    }),
  );
  return [...pages, head];
}

function spoil(pieces: readonly WatchSnapshotsResponse[], { kind, at }: Fault): WatchSnapshotsResponse[] {
  const spoiled = [...pieces];
  const index = at % pieces.length;
  const next = (index + 1) % pieces.length;
  const [here, there] = [pieces[index], pieces[next]] as [WatchSnapshotsResponse, WatchSnapshotsResponse];
  if (kind === "lose") spoiled.splice(index, 1);
  else if (kind === "repeat") spoiled.splice(index, 0, here);
  else [spoiled[index], spoiled[next]] = [there, here];
  return spoiled;
}

const history = fc.array(
  fc.array(fc.tuple(fc.nat(KEYS.length - 1), fc.option(fc.nat(1_000))), { minLength: 1, maxLength: 3 }),
  { minLength: 1, maxLength: 6 },
);
const faults = fc.array(fc.record({ kind: fc.constantFrom("lose", "repeat", "swap"), at: fc.nat(20) }), {
  maxLength: 8,
}) as fc.Arbitrary<Fault[]>;

describe("a router's keyring", () => {
  it("C1, C2: whatever is lost, repeated or reordered on the way, it only rises, and is always what was signed", async () => {
    await fc.assert(
      fc.asyncProperty(history, faults, async (changes, row) => {
        const versions: Version[] = [];
        let tree = KeyringTree.EMPTY;
        for (const change of changes) {
          for (const [key, limit] of change) {
            const id = KEYS[key] as string;
            tree =
              limit === null
                ? tree.apply([], [id])
                : tree.apply([sampleKeyEntry(id, id, { requestsPerMinute: limit })]);
          }
          const version = BigInt(versions.length + 1);
          versions.push({ tree, note: sampleNote({ kind: "keyring", version, digest: tree.digest() }) });
        }
        const ending = new AbortController();
        const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
        const seen: bigint[] = [];
        hold.onChange(() => {
          const held = hold.heldKeyring();
          const version = held?.head.version ?? 0n;
          expect(held?.keyring.tree.digest()).toEqual(versions[Number(version) - 1]?.tree.digest());
          seen.push(version);
          if (version === BigInt(versions.length)) ending.abort();
        });
        // Each watch is answered for a later version than the one before, and spoiled while there are faults left.
        let turn = 0;
        async function* watch({ keyringVersion }: WatchSnapshotsRequest) {
          const last = Math.min(turn++, versions.length - 1);
          const fault = row.shift();
          const base = keyringVersion === 0n ? undefined : Math.min(Number(keyringVersion) - 1, last);
          const pieces = toPieces(versions, last, base === last ? undefined : base);
          yield* fault === undefined ? pieces : spoil(pieces, fault);
        }
        const client = { watchSnapshots: watch, reportSnapshot: async () => ({}) } as never as Client<
          typeof SnapshotService
        >;
        const options = { client, name, clock, log, signal: ending.signal };
        await watchSnapshots({ ...options, hold, reporter: new SnapshotReporter(options) });

        expect(seen).toEqual([...new Set(seen)].sort((a, b) => Number(a - b)));
        expect(seen.at(-1)).toBe(BigInt(versions.length));
      }),
      { numRuns: 100 },
    );
  });
});
