import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../telemetry/log.ts";
import { SnapshotDisk } from "./disk.ts";
import { SnapshotHold } from "./hold.ts";
import { SAMPLE_TRUST, sampleKeyEntry, sampleKeyring, sampleSnapshot, sampleTenantEntry } from "./snapshots.fixture.ts";
import type { SnapshotRefusal } from "./verify.ts";

const log = createLog({ service: "test", level: "silent" });
let directory: string;
let refusals: SnapshotRefusal[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-snapshots-"));
  refusals = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function openDisk(): SnapshotDisk {
  return new SnapshotDisk({ directory, log, onRefused: (_, refusal) => refusals.push(refusal) });
}

function emptyHold(region = "eu"): SnapshotHold {
  return new SnapshotHold({ trust: SAMPLE_TRUST, region });
}

async function saveVersions(versions: readonly bigint[]): Promise<void> {
  const hold = emptyHold();
  const disk = openDisk();
  for (const version of versions) {
    const { note, content } = sampleSnapshot(version);
    hold.offerSnapshot(note, content);
    await disk.save("snapshot", hold);
    const keyring = sampleKeyring(version, [sampleKeyEntry("abcdefghijkl"), sampleKeyEntry("bbbbbbbbbbbb")]);
    hold.offerKeyring(keyring.note, keyring.tree);
    await disk.save("keyring", hold);
  }
}

const nameOf = (kind: string, version: number) => join(directory, `${kind}-${String(version).padStart(19, "0")}.weir`);

describe("disk", () => {
  it("a restart takes the newest of each kind, verified", async () => {
    await saveVersions([1n, 2n]);
    const hold = emptyHold();
    expect(await openDisk().load(hold)).toEqual(["snapshot", "keyring"]);
    expect(hold.current()).toMatchObject({ snapshotVersion: 2n, keyringVersion: 2n });
    expect(hold.current()?.keyring.find("bbbbbbbbbbbb")).toBeDefined();
  });

  it("a keyring that is written and read in many steps comes back as it was", async () => {
    const entries = Array.from({ length: 3_000 }, (_, index) => sampleTenantEntry(`acme/team-${index}`));
    const { note, tree } = sampleKeyring(1n, entries);
    const hold = emptyHold();
    hold.offerKeyring(note, tree);
    await openDisk().save("keyring", hold);
    const next = emptyHold();
    expect(await openDisk().load(next)).toEqual(["keyring"]);
    const read = next.heldKeyring()?.keyring;
    expect([read?.size, read?.tree.digest()]).toEqual([3_000, tree.digest()]);
    expect(read?.isTenantDisabled("acme/team-2999")).toBe(true);
  });

  it("the last three of each kind stay", async () => {
    await saveVersions([1n, 2n, 3n, 9n, 10n]);
    const versions = readdirSync(directory).map((name) => name.replace(/0{5,}/, " "));
    expect(versions.sort()).toEqual(
      ["10", "3", "9"].flatMap((v) => [`keyring- ${v}.weir`, `snapshot- ${v}.weir`]).sort(),
    );
  });

  it("a tampered file is refused and reported, and the next older one is taken", async () => {
    await saveVersions([1n, 2n]);
    for (const kind of ["snapshot", "keyring"]) {
      const bytes = readFileSync(nameOf(kind, 2));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(nameOf(kind, 2), bytes);
    }
    const hold = emptyHold();
    await openDisk().load(hold);
    expect(hold.current()).toMatchObject({ snapshotVersion: 1n, keyringVersion: 1n });
    expect(refusals.map(({ stage }) => stage)).toEqual(["DIGEST", "DIGEST"]);
  });

  it.each([
    ["empty", Buffer.alloc(0)],
    ["foreign", Buffer.from("not one of ours")],
    ["of a later format", Buffer.from("weir snapshot 2 0 0\n")],
    ["cut", Buffer.from("weir snapshot 1 500 500\nabc")],
  ])("a file that is %s is refused and serving goes on from an older one", async (_, bytes) => {
    await saveVersions([1n]);
    writeFileSync(nameOf("snapshot", 7), bytes);
    const hold = emptyHold();
    await openDisk().load(hold);
    expect(hold.current()?.snapshotVersion).toBe(1n);
    expect(refusals).toHaveLength(1);
  });

  it("the files of another region are refused, all of them", async () => {
    await saveVersions([1n, 2n]);
    const hold = emptyHold("us");
    await openDisk().load(hold);
    expect(hold.current()).toBeUndefined();
    expect(refusals.map(({ stage }) => stage)).toEqual(["REGION", "REGION", "REGION", "REGION"]);
  });

  it("an older file under a newer name is taken as what it is: its version is in its signed head", async () => {
    await saveVersions([1n]);
    writeFileSync(nameOf("snapshot", 99), readFileSync(nameOf("snapshot", 1)));
    const hold = emptyHold();
    const newer = sampleSnapshot(5n);
    hold.offerSnapshot(newer.note, newer.content);
    await openDisk().load(hold);
    expect(hold.heldSnapshot()?.head.version).toBe(5n);
    expect(refusals).toEqual([]);
  });

  it("without a directory a start finds nothing and goes on", async () => {
    rmSync(directory, { recursive: true });
    const hold = emptyHold();
    expect(await openDisk().load(hold)).toEqual([]);
    await saveVersions([1n]);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  it("a refused file does not keep the same version that comes by network from being written", async () => {
    await saveVersions([1n]);
    writeFileSync(nameOf("snapshot", 1), "broken");
    const disk = openDisk();
    const hold = emptyHold();
    await disk.load(hold);
    const { note, content } = sampleSnapshot(1n);
    hold.offerSnapshot(note, content);
    await disk.save("snapshot", hold);
    const next = emptyHold();
    await openDisk().load(next);
    expect(next.heldSnapshot()?.head.version).toBe(1n);
  });
});
