/** The tree as a whole: against the vectors of Certificate Transparency, and against RFC 9162's recursive definitions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { appendLeaves, computeRoot, EMPTY_EDGE } from "./append.ts";
import { EMPTY_ROOT, hashLeaf, hashNode } from "./hash.ts";
import { assembleProof, planConsistency, planInclusion } from "./proof.ts";
import type { Subtree } from "./tree.ts";
import { isConsistent, isIncluded } from "./verify.ts";

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");
const bytes = (text: string) => Buffer.from(text, "hex");

/** Leaves and roots of github.com/google/certificate-transparency's merkle_tree_test.cc, as used across CT implementations. */
const CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const CT_INCLUSION: [index: bigint, size: bigint, proof: string[]][] = [
  [0n, 1n, []],
  [
    0n,
    8n,
    [
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
  ],
  [
    5n,
    8n,
    [
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
  ],
  [2n, 3n, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]],
  [
    1n,
    5n,
    [
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
  ],
];
const CT_CONSISTENCY: [first: bigint, second: bigint, proof: string[]][] = [
  [1n, 1n, []],
  [
    1n,
    8n,
    [
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
  ],
  [
    6n,
    8n,
    [
      "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
  ],
  [
    2n,
    5n,
    [
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
  ],
];

/** RFC 9162's definitions as they are written, over arrays: slow, and written apart from the code under test. */
function mth(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return EMPTY_ROOT;
  if (leaves.length === 1) return leaves[0] as Uint8Array;
  const k = split(leaves.length);
  return hashNode(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}
function path(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  if (m < k) return [...path(m, leaves.slice(0, k)), mth(leaves.slice(k))];
  return [...path(m - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}
function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [mth(leaves)];
  const k = split(leaves.length);
  if (m <= k) return [...subproof(m, leaves.slice(0, k), whole), mth(leaves.slice(k))];
  return [...subproof(m - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}
function split(size: number): number {
  let k = 1;
  while (k * 2 < size) k *= 2;
  return k;
}

/** A tree in memory, grown in uneven batches as the integrator does. */
function grow(records: readonly Uint8Array[]) {
  const leaves = records.map(hashLeaf);
  const roots = [EMPTY_ROOT];
  const stored = new Map<string, Uint8Array>();
  let edge = EMPTY_EDGE;
  for (const leaf of leaves) {
    const next = appendLeaves(edge, [leaf]);
    edge = next.edge;
    for (const { level, index, hash } of next.completed) stored.set(`${level}/${index}`, hash);
    roots.push(computeRoot(edge));
  }
  const getHash = ({ level, index }: Subtree) => stored.get(`${level}/${index}`) ?? fail(`no hash ${level}/${index}`);
  return {
    leaves,
    roots,
    leaf: (index: bigint) => leaves[Number(index)] as Uint8Array,
    root: (size: bigint) => roots[Number(size)] as Uint8Array,
    inclusion: (index: bigint, size: bigint) => assembleProof(planInclusion(index, size), getHash),
    consistency: (first: bigint, second: bigint) => assembleProof(planConsistency(first, second), getHash),
  };
}
function fail(message: string): never {
  throw new Error(message);
}

describe("the tree of Certificate Transparency's vectors", () => {
  const tree = grow(CT_LEAVES.map(bytes));

  it("has the published roots at every size", () => {
    expect(tree.roots.map(hex)).toEqual(CT_ROOTS);
  });

  it.each(CT_INCLUSION)("has the published inclusion proof of %s in %s", (index, size, proof) => {
    expect(tree.inclusion(index, size).map(hex)).toEqual(proof);
  });

  it.each(CT_CONSISTENCY)("has the published consistency proof of %s in %s", (first, second, proof) => {
    expect(tree.consistency(first, second).map(hex)).toEqual(proof);
  });
});

describe("every tree up to 200 leaves", { timeout: 60_000 }, () => {
  const SIZE = 200n;
  const tree = grow(Array.from({ length: Number(SIZE) }, (_, index) => Buffer.from(`record ${index}`)));

  it("has the roots and proofs of RFC 9162's definitions", () => {
    for (let size = 0; size <= 72; size++) {
      const leaves = tree.leaves.slice(0, size);
      expect(hex(tree.root(BigInt(size)))).toBe(hex(mth(leaves)));
      for (let m = 0; m < size; m++) {
        expect(tree.inclusion(BigInt(m), BigInt(size)).map(hex)).toEqual(path(m, leaves).map(hex));
        if (m > 0)
          expect(tree.consistency(BigInt(m), BigInt(size)).map(hex)).toEqual(subproof(m, leaves, true).map(hex));
      }
    }
  });

  it("an inclusion proof verifies for its record and for no other index, size, root or changed hash", () => {
    for (let size = 1n; size <= SIZE; size++) {
      const root = tree.root(size);
      for (let index = 0n; index < size; index++) {
        const proof = tree.inclusion(index, size);
        const claim = { leafHash: tree.leaf(index), index, size, root, proof };
        const other = (index + 1n) % SIZE;
        const bad = [
          { ...claim, leafHash: tree.leaf(other) },
          { ...claim, index: index + 1n },
          { ...claim, root: tree.root(size - 1n) },
          { ...claim, proof: [...proof, root] },
          { ...claim, proof: proof.slice(0, -1), index: proof.length === 0 ? index + 1n : index },
          { ...claim, proof: flip(proof, Number(index)), root: proof.length === 0 ? EMPTY_ROOT : root },
        ];
        if (!isIncluded(claim)) fail(`refused: ${index} in ${size}`);
        if (bad.some(isIncluded)) fail(`accepted a wrong proof: ${index} in ${size}, ${bad.findIndex(isIncluded)}`);
      }
    }
  });

  it("a consistency proof verifies for its two trees and for no other sizes, roots or changed hash", () => {
    for (let second = 0n; second <= SIZE; second++) {
      for (let first = 0n; first <= second; first++) {
        const proof = tree.consistency(first, second);
        const claim = { first, firstRoot: tree.root(first), second, secondRoot: tree.root(second), proof };
        if (!isConsistent(claim)) fail(`refused: ${first} to ${second}`);
        const bad = [
          { ...claim, proof: [...proof, claim.secondRoot] },
          { ...claim, firstRoot: flipHash(claim.firstRoot) },
          ...(first > 0n ? [{ ...claim, secondRoot: flipHash(claim.secondRoot) }] : []),
          ...(proof.length > 0
            ? [
                { ...claim, proof: proof.slice(0, -1) },
                { ...claim, proof: proof.slice(1) },
                { ...claim, proof: flip(proof, Number(first)) },
                { ...claim, first: first - 1n },
                { ...claim, first: second, second: first },
              ]
            : []),
        ];
        if (bad.some(isConsistent))
          fail(`accepted a wrong proof: ${first} to ${second}, ${bad.findIndex(isConsistent)}`);
      }
    }
  });
});

describe("proofs of random trees", () => {
  const tree = grow(Array.from({ length: 300 }, (_, index) => Buffer.from(`record ${index}`)));

  it("a proof never verifies for another record", () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 300n), fc.bigInt(0n, 299n), fc.uint8Array({ maxLength: 64 }), (size, at, record) => {
        const index = at % size;
        fc.pre(Buffer.from(record).toString() !== `record ${index}`);
        const claim = { index, size, root: tree.root(size), proof: tree.inclusion(index, size) };
        expect(isIncluded({ ...claim, leafHash: hashLeaf(record) })).toBe(false);
        expect(isIncluded({ ...claim, leafHash: record })).toBe(false);
      }),
    );
  });

  it("hashes that are not 32 bytes and absurd sizes are refused, not thrown at", () => {
    const claim = { leafHash: tree.leaf(0n), index: 0n, size: 1n, root: tree.root(1n), proof: [] };
    const proofOfMany = new Array<Uint8Array>(61).fill(tree.leaf(1n));
    expect(isIncluded(claim)).toBe(true);
    expect(isIncluded({ ...claim, size: 2n ** 80n })).toBe(false);
    expect(isIncluded({ ...claim, index: -1n })).toBe(false);
    // The first of 2^61 leaves, all alike.
    const root = proofOfMany.reduce((hash, sibling) => hashNode(hash, sibling), claim.leafHash);
    expect(isIncluded({ ...claim, size: 2n ** 61n, root, proof: proofOfMany })).toBe(false);
    expect(isIncluded({ ...claim, leafHash: claim.leafHash.subarray(1) })).toBe(false);
    expect(isIncluded({ ...claim, size: 2n, proof: [new Uint8Array(0)] })).toBe(false);
    const pair = { first: 1n, firstRoot: tree.root(1n), second: 2n ** 80n, secondRoot: tree.root(2n), proof: [] };
    expect(isConsistent(pair)).toBe(false);
    expect(isConsistent({ ...pair, first: -1n, second: 2n })).toBe(false);
  });

  it("growing in any batches gives the same subtrees and root", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 8 }), (batches) => {
        let edge = EMPTY_EDGE;
        for (const count of batches) {
          const start = Number(edge.size);
          edge = appendLeaves(edge, tree.leaves.slice(start, start + count)).edge;
        }
        expect(hex(computeRoot(edge))).toBe(hex(tree.root(edge.size)));
      }),
    );
  });
});

function flip(proof: readonly Uint8Array[], seed: number): Uint8Array[] {
  return proof.map((hash, position) => (position === seed % proof.length ? flipHash(hash) : hash));
}
function flipHash(hash: Uint8Array): Uint8Array {
  return Uint8Array.from(hash, (byte, position) => (position === 7 ? byte ^ 0x10 : byte));
}

describe("a proof of another length than its tree has", () => {
  const [a, b, more] = ["a", "b", "c"].map((text) => hashLeaf(Buffer.from(text))) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const root = hashNode(a, b);

  it("includes no leaf: too short for a larger tree, too long for this one", () => {
    const claim = { leafHash: a, index: 0n, size: 2n, root, proof: [b] };

    expect(isIncluded(claim)).toBe(true);
    expect(isIncluded({ ...claim, size: 3n })).toBe(false);
    expect(isIncluded({ ...claim, root: hashNode(more, root), proof: [b, more] })).toBe(false);
    expect(isIncluded({ ...claim, root: hashNode(a, new Uint8Array(31)), proof: [new Uint8Array(31)] })).toBe(false);
  });

  it("continues no tree", () => {
    const claim = { first: 1n, firstRoot: a, second: 2n, secondRoot: root, proof: [b] };

    expect(isConsistent(claim)).toBe(true);
    expect(isConsistent({ ...claim, first: 1n, second: 1n, secondRoot: a, proof: [] })).toBe(true);
    expect(isConsistent({ ...claim, secondRoot: a, proof: [] })).toBe(false);
    expect(isConsistent({ ...claim, second: 2n ** 60n + 1n })).toBe(false);
    expect(isConsistent({ ...claim, first: 0n, firstRoot: a, second: 0n, secondRoot: a, proof: [] })).toBe(false);
  });
});
