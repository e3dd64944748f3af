import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SnapshotHold } from "./hold.ts";
import { SAMPLE_TRUST, sampleKeyEntry, sampleKeyring, sampleSnapshot } from "./snapshots.fixture.ts";

const options = { trust: SAMPLE_TRUST, region: "eu" };

/** A key id of its own for each number. */
function toKeyId(number: number): string {
  return number
    .toString(26)
    .replace(/[0-9]/g, (digit) => "qrstuvwxyz"[Number(digit)]!)
    .padStart(12, "2");
}

describe("hold", () => {
  it("there is nothing to run under until both a snapshot and a keyring have verified", () => {
    const hold = new SnapshotHold(options);
    const { note, content } = sampleSnapshot(1n);
    hold.offerSnapshot(note, content);
    expect(hold.current()).toBeUndefined();
    const keyring = sampleKeyring(4n);
    hold.offerKeyring(keyring.note, keyring.tree);
    expect(hold.current()).toMatchObject({ snapshotVersion: 1n, keyringVersion: 4n });
    expect(hold.current()?.keyring.find("abcdefghijkl")?.team).toBe("search");
  });

  it("C1: in whatever order versions come, it holds the highest so far and never goes back", () => {
    const snapshots = [1n, 2n, 3n, 4n].map((version) => sampleSnapshot(version));
    const keyrings = [1n, 2n, 3n, 4n].map((version) => sampleKeyring(version));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(3)), { maxLength: 20 }), (offers) => {
        const hold = new SnapshotHold(options);
        const highest = { snapshot: 0n, keyring: 0n };
        for (const [isSnapshot, index] of offers) {
          const kind = isSnapshot ? "snapshot" : "keyring";
          const version = BigInt(index + 1);
          const { note, content } = snapshots[index]!;
          const keyring = keyrings[index]!;
          const { verdict } = isSnapshot
            ? hold.offerSnapshot(note, content)
            : hold.offerKeyring(keyring.note, keyring.tree);
          const expected = version > highest[kind] ? "applied" : version === highest[kind] ? "unchanged" : "refused";
          expect(verdict).toBe(expected);
          if (version > highest[kind]) highest[kind] = version;
          expect(hold.heldSnapshot()?.head.version ?? 0n).toBe(highest.snapshot);
          expect(hold.heldKeyring()?.head.version ?? 0n).toBe(highest.keyring);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("C3: what was pinned stays as it was while another version is swapped in", () => {
    const hold = new SnapshotHold(options);
    const { note, content } = sampleSnapshot(1n);
    hold.offerSnapshot(note, content);
    const first = sampleKeyring(1n);
    hold.offerKeyring(first.note, first.tree);
    const pinned = hold.current()!;
    const second = sampleKeyring(2n, [sampleKeyEntry("zzzzzzzzzzzz")]);
    hold.offerKeyring(second.note, second.tree);
    expect(pinned.keyringVersion).toBe(1n);
    expect(pinned.keyring.find("abcdefghijkl")).toBeDefined();
    expect(hold.current()?.keyring.find("abcdefghijkl")).toBeUndefined();
  });

  it("is confirmed only by the version that it holds, and never by an earlier instant than before", () => {
    const hold = new SnapshotHold(options);
    hold.confirm("keyring", 4n, 1_000);
    expect(hold.confirmedAtMs("keyring")).toBeUndefined();
    const keyring = sampleKeyring(4n);
    hold.offerKeyring(keyring.note, keyring.tree);
    hold.confirm("keyring", 4n, 2_000);
    hold.confirm("keyring", 5n, 3_000);
    hold.confirm("keyring", 4n, 1_500);
    expect(hold.confirmedAtMs("keyring")).toBe(2_000);
    expect(hold.confirmedAtMs("snapshot")).toBeUndefined();
  });

  it("ages by whichever clock says more, so that a clock that is set back makes nothing younger", () => {
    const hold = new SnapshotHold(options);
    const keyring = sampleKeyring(4n);
    hold.offerKeyring(keyring.note, keyring.tree);
    expect(hold.ageMs("keyring", 1_000, 0)).toBe(Number.POSITIVE_INFINITY);

    hold.confirm("keyring", 4n, 10_000);
    expect(hold.ageMs("keyring", 13_000, 7)).toBe(3_000);
    expect(hold.ageMs("keyring", 9_999, 7)).toBe(Number.POSITIVE_INFINITY);

    hold.confirm("keyring", 4n, 20_000, 500);
    expect(hold.ageMs("keyring", 21_000, 1_500)).toBe(1_000);
    expect(hold.ageMs("keyring", 5_000, 4_500)).toBe(4_000);
    expect(hold.ageMs("keyring", 99_000, 4_500)).toBe(79_000);
  });

  it("what is overtaken by a newer one while it is looked at in slices is not swapped in", async () => {
    const hold = new SnapshotHold(options);
    const many = Array.from({ length: 20_000 }, (_, index) => sampleKeyEntry(toKeyId(index)));
    const [older, newer] = [sampleKeyring(1n, many), sampleKeyring(2n)];

    const offered = hold.offerKeyringInSlices(older.note, older.tree);
    expect(hold.offerKeyring(newer.note, newer.tree).verdict).toBe("applied");

    expect(await offered).toMatchObject({ verdict: "refused", stage: "STALE" });
    expect(hold.heldKeyring()?.keyring.size).toBe(1);
    expect(await hold.offerKeyringInSlices(older.note, older.tree)).toMatchObject({ stage: "STALE" });
  });

  it("a snapshot that is overtaken by a newer one while it is looked at in slices is not swapped in", async () => {
    const hold = new SnapshotHold(options);
    const routes = [{ target: "openai-eu/small" }];
    const models = Array.from({ length: 2_000 }, (_, index) => ({ id: `m${index}`, routes }));
    const [older, newer] = [sampleSnapshot(1n, { models }), sampleSnapshot(2n)];

    const offered = hold.offerSnapshotInSlices(older.note, older.content);
    expect(hold.offerSnapshot(newer.note, newer.content).verdict).toBe("applied");

    expect(await offered).toMatchObject({ verdict: "refused", stage: "STALE" });
    expect(hold.heldSnapshot()?.head.version).toBe(2n);
  });

  it("a listener hears of each swap and of nothing that was refused", () => {
    const hold = new SnapshotHold(options);
    const heard: string[] = [];
    const stop = hold.onChange((kind) => heard.push(kind));
    const { note, content } = sampleSnapshot(2n);
    hold.offerSnapshot(note, content);
    hold.offerSnapshot(note, content);
    hold.offerSnapshot(note, content.slice(1));
    stop();
    const later = sampleSnapshot(3n);
    hold.offerSnapshot(later.note, later.content);
    expect(heard).toEqual(["snapshot"]);
  });
});
