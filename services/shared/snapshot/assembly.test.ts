import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  KeyringChangeSchema,
  KeyringPageSchema,
  SnapshotPageSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { SnapshotAssembly } from "./assembly.ts";
import { KeyringTree } from "./digest.ts";
import { sampleKeyEntry } from "./snapshots.fixture.ts";

const refused = expect.objectContaining({ reason: "SNAPSHOT_REFUSED" });
const first = sampleKeyEntry("aaaaaaaaaaaa");
const second = sampleKeyEntry("bbbbbbbbbbbb");

function snapshotPage(version: bigint, index: number, content: Uint8Array) {
  return { case: "snapshotPage", value: create(SnapshotPageSchema, { version, index, content }) } as const;
}

function keyringPage(version: bigint, index: number, entries = [first]) {
  return { case: "keyringPage", value: create(KeyringPageSchema, { version, index, entries }) } as const;
}

describe("SnapshotAssembly", () => {
  it("puts pages together in their order", () => {
    const assembly = new SnapshotAssembly();
    for (const [index, text] of ["one ", "two ", "three"].entries()) {
      assembly.add(snapshotPage(1n, index, Buffer.from(text)));
    }
    expect(Buffer.from(assembly.finishSnapshot()).toString()).toBe("one two three");
    expect(assembly.finishSnapshot()).toHaveLength(0);
  });

  it("a first page begins anew: the sender has skipped to the latest", () => {
    const assembly = new SnapshotAssembly();
    assembly.add(snapshotPage(1n, 0, Buffer.from("old")));
    assembly.add(snapshotPage(2n, 0, Buffer.from("new")));
    expect(Buffer.from(assembly.finishSnapshot()).toString()).toBe("new");
  });

  it.each([
    ["a gap", [snapshotPage(1n, 0, Buffer.of(1)), snapshotPage(1n, 2, Buffer.of(1))]],
    ["a page twice", [keyringPage(1n, 0), keyringPage(1n, 1), keyringPage(1n, 1)]],
    ["no first page", [keyringPage(1n, 1)]],
    ["another version in between", [snapshotPage(1n, 0, Buffer.of(1)), snapshotPage(2n, 1, Buffer.of(1))]],
    ["another kind in between", [snapshotPage(1n, 0, Buffer.of(1)), keyringPage(1n, 1)]],
  ])("%s is refused", (_, parts) => {
    const assembly = new SnapshotAssembly();
    const last = parts.at(-1)!;
    for (const part of parts.slice(0, -1)) assembly.add(part);
    expect(() => assembly.add(last)).toThrow(refused);
  });

  it("C5: a sender that never comes to an end is refused before memory is full", () => {
    const assembly = new SnapshotAssembly();
    const content = new Uint8Array(262_144);
    expect(() => {
      for (let index = 0; index < 1_000; index++) assembly.add(snapshotPage(1n, index, content));
    }).toThrow(refused);
    const entries = Array.from({ length: 20_000 }, () => first);
    expect(() => {
      for (let index = 0; index < 100; index++) assembly.add(keyringPage(1n, index, entries));
    }).toThrow(refused);
  });

  it("a change is applied to the keyring of its base, and to no other", () => {
    const assembly = new SnapshotAssembly();
    const change = create(KeyringChangeSchema, {
      baseVersion: 4n,
      version: 5n,
      changed: [second],
      removedIds: [first.id],
    });
    const tree = KeyringTree.EMPTY.apply([first]);
    assembly.add({ case: "keyringChange", value: change });
    expect([...assembly.finishKeyring({ version: 4n, tree })!.entries()].map(({ id }) => id)).toEqual([second.id]);
    assembly.add({ case: "keyringChange", value: change });
    expect(assembly.finishKeyring({ version: 3n, tree })).toBeUndefined();
    assembly.add({ case: "keyringChange", value: change });
    expect(assembly.finishKeyring(undefined)).toBeUndefined();
  });
});
