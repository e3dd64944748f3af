import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateNoteKey, parseSignerKey, parseVerifierKey, signNote } from "../../shared/note/note.ts";
import { appendLeaves, computeRoot, EMPTY_EDGE } from "../merkle/append.ts";
import { formatCheckpoint } from "../merkle/checkpoint.ts";
import { hashLeaf } from "../merkle/hash.ts";
import { assembleProof, planInclusion } from "../merkle/proof.ts";
import { formatTlogProof } from "../merkle/tlog-proof.ts";
import { verifyRecord } from "./verify-record.ts";

const ORIGIN = "weir.local/audit/eu";
const key = generateNoteKey(ORIGIN);
const signer = parseSignerKey(key.signerKey);
const trust = { verifiers: [parseVerifierKey(key.verifierKey)] };
const SIZE = 21;
const records = Array.from({ length: SIZE }, (_, index) => Buffer.from(`record ${index}`));

const { edge, completed } = appendLeaves(EMPTY_EDGE, records.map(hashLeaf));
const note = signNote(formatCheckpoint({ origin: ORIGIN, size: BigInt(SIZE), root: computeRoot(edge) }), signer);

function prove(index: number, checkpoint = note, extra?: Uint8Array): Uint8Array {
  const hashes = assembleProof(planInclusion(BigInt(index), BigInt(SIZE)), (wanted) => {
    const found = completed.find(({ level, index: position }) => level === wanted.level && position === wanted.index);
    if (!found) throw new Error("no such subtree");
    return found.hash;
  });
  const proof = { index: BigInt(index), hashes, checkpoint };
  return formatTlogProof(extra ? { ...proof, extra } : proof);
}

describe("verifyRecord()", () => {
  it("proves each record of a log by its receipt", async () => {
    for (const [index, record] of records.entries()) {
      expect(await verifyRecord({ record, proof: prove(index) }, trust)).toMatchObject({
        kind: "proven",
        origin: ORIGIN,
        size: 21n,
      });
    }
  });

  it("a proof never verifies for another record", async () => {
    const place = fc.nat(SIZE - 1);
    await fc.assert(
      fc.asyncProperty(place, place, fc.uint8Array({ maxLength: 40 }), async (index, other, bytes) => {
        fc.pre(index !== other);
        const proof = prove(index);
        expect(await verifyRecord({ record: records[other] as Buffer, proof }, trust)).toMatchObject({
          kind: "refused",
        });
        expect(await verifyRecord({ record: bytes, proof }, trust)).toMatchObject({ kind: "refused" });
      }),
    );
  });

  it("every changed byte of the receipt is found", async () => {
    const good = Buffer.from(prove(6));
    const survivors: number[] = [];
    for (let at = 0; at < good.length; at++) {
      for (const flip of [0x01, 0x04, 0x20, 0x80]) {
        const proof = Buffer.from(good);
        proof[at] = (proof[at] ?? 0) ^ flip;
        if ((await verifyRecord({ record: records[6] as Buffer, proof }, trust)).kind === "proven") survivors.push(at);
      }
    }
    expect(survivors).toEqual([]);
  });

  it("a receipt of another log, another signer or with unsigned extra data is refused", async () => {
    const record = records[3] as Buffer;
    const otherLog = { ...trust, origin: "weir.local/audit/us" };
    expect(await verifyRecord({ record, proof: prove(3) }, otherLog)).toMatchObject({ fault: "UNTRUSTED" });
    const stranger = parseSignerKey(generateNoteKey(ORIGIN).signerKey);
    const forged = signNote(formatCheckpoint({ origin: ORIGIN, size: 21n, root: computeRoot(edge) }), stranger);
    expect(await verifyRecord({ record, proof: prove(3, forged) }, trust)).toMatchObject({ fault: "UNTRUSTED" });
    expect(await verifyRecord({ record, proof: prove(3, note, Buffer.from("x")) }, trust)).toMatchObject({
      fault: "MALFORMED",
    });
  });
});
