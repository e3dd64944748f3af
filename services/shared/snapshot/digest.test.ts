import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bucket, type DigestedEntry } from "./bucket.ts";
import { bucketOf, KeyringTree } from "./digest.ts";

const entry = fc.record({
  id: fc.constantFrom(..."abcdefghijklmnop", "é", "ｶ", "😀"),
  grant: fc.uint8Array({ maxLength: 4 }),
});
const change = fc.record({ changed: fc.array(entry, { maxLength: 6 }), removed: fc.array(entry, { maxLength: 3 }) });

/** The digest as the proto tells it, without sharing a line with the code. */
function digestPlainly(entries: ReadonlyMap<string, Uint8Array>): string {
  const buckets = Array.from({ length: 1024 }, () => [] as [Buffer, Uint8Array][]);
  for (const [id, grant] of entries) {
    const [first, second] = createHash("sha256").update(id).digest();
    buckets[first! * 4 + (second! >> 6)]!.push([Buffer.from(id), grant]);
  }
  const all = createHash("sha256");
  for (const bucket of buckets) {
    const sum = createHash("sha256");
    for (const [id, grant] of bucket.sort(([a], [b]) => a.compare(b))) {
      const lengths = [Buffer.alloc(4), Buffer.alloc(4)] as const;
      lengths[0].writeUInt32BE(id.length);
      lengths[1].writeUInt32BE(grant.length);
      sum.update(Buffer.concat([lengths[0], id, lengths[1], grant]));
    }
    all.update(sum.digest());
  }
  return all.digest("hex");
}

describe("keyring digest", () => {
  it("any row of changes leads to the digest of what is then there, and changes no earlier keyring", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
        let tree = KeyringTree.EMPTY;
        const entries = new Map<string, Uint8Array>();
        for (const { changed, removed } of changes) {
          const before = { tree, digest: digestPlainly(entries) };
          for (const { id } of removed) entries.delete(id);
          for (const { id, grant } of changed) entries.set(id, grant);
          tree = tree.apply(
            changed,
            removed.map(({ id }) => id),
          );
          expect(Buffer.from(tree.digest()).toString("hex")).toBe(digestPlainly(entries));
          expect(Buffer.from(before.tree.digest()).toString("hex")).toBe(before.digest);
          expect(tree.size).toBe(entries.size);
        }
        expect(new Map(Array.from(tree.entries(), ({ id, grant }) => [id, new Uint8Array(grant)]))).toEqual(entries);
        for (const [id, grant] of entries) expect(new Uint8Array(tree.find(id)!)).toEqual(grant);
      }),
      { numRuns: 60 },
    );
  });

  it("an empty bucket is the SHA-256 of nothing, and the bucket of an id is the first ten bits of its hash", () => {
    const nothing = createHash("sha256").digest("hex");
    expect(Buffer.from(Bucket.EMPTY.digest()).toString("hex")).toBe(nothing);
    // SHA-256("abc") begins with ba7816bf.
    expect(bucketOf("abc")).toBe(0xba78 >> 6);
  });

  it("a change among 100,000 keys hashes one bucket", () => {
    const entries = Array.from({ length: 100_000 }, (_, index): DigestedEntry => {
      return { id: `key-${index}`, grant: Buffer.from(`grant ${index}`) };
    });
    const tree = KeyringTree.EMPTY.apply(entries);
    const next = tree.apply([{ id: "key-5", grant: Buffer.from("another") }]);
    const index = bucketOf("key-5");
    expect([...next.bucketsApartFrom(tree)]).toEqual([
      { bucket: next.getBucket(index), instead: tree.getBucket(index) },
    ]);
    expect(next.digest()).not.toEqual(tree.digest());
    expect(next.apply([{ id: "key-5", grant: Buffer.from("grant 5") }]).digest()).toEqual(tree.digest());
  });
});
