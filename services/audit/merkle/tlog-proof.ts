import { WeirError } from "../../shared/errors/weir-error.ts";
import { parseDecimal, parseHash } from "./checkpoint.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
/** Largest proof that is read: 60 hashes, a checkpoint and its signatures take a few kilobytes. */
const PROOF_LIMIT = 1_000_000;
/** No tree within `MAX_TREE_SIZE` needs more. */
const HASH_LIMIT = 60;

/** A receipt for one record, whole in itself: where it stands, the hashes up to the root, and the signed checkpoint. */
export interface TlogProof {
  readonly index: bigint;
  readonly hashes: readonly Uint8Array[];
  /** The signed checkpoint note, byte for byte. */
  readonly checkpoint: Uint8Array;
  /** Data beside the proof that nothing signs. Never to be trusted; our own proofs have none. */
  readonly extra?: Uint8Array;
}

/** Writes a proof in the text form of c2sp.org/tlog-proof (v1), for a file ending in `.tlog-proof`. */
export function formatTlogProof(proof: TlogProof): Uint8Array {
  const extra = proof.extra ? `extra ${Buffer.from(proof.extra).toString("base64")}\n` : "";
  const hashes = proof.hashes.map((hash) => `${Buffer.from(hash).toString("base64")}\n`).join("");
  return Buffer.concat([Buffer.from(`${HEADER}\n${extra}index ${proof.index}\n${hashes}\n`), proof.checkpoint]);
}

/** Reads a proof that came from anywhere. Throws PROOF_REFUSED when its form is wrong; whether it proves anything is another question. */
export function parseTlogProof(bytes: Uint8Array): TlogProof {
  // Hostile input: bounded first, then line by line.
  if (bytes.length > PROOF_LIMIT) throw refuse(`it has ${bytes.length} bytes, more than ${PROOF_LIMIT}`);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blank = buffer.indexOf("\n\n");
  if (blank < 0) throw refuse("it has no blank line before its checkpoint");
  const lines = buffer.subarray(0, blank).toString("latin1").split("\n");
  if (lines.shift() !== HEADER) throw refuse(`it does not start with ${HEADER}`);
  const extra = lines[0]?.startsWith("extra ") ? parseExtra(lines.shift() ?? "") : undefined;
  const indexLine = lines.shift() ?? "";
  const index = indexLine.startsWith("index ") ? parseDecimal(indexLine.slice(6)) : undefined;
  if (index === undefined) throw refuse("it has no index");
  if (lines.length > HASH_LIMIT) throw refuse(`it has ${lines.length} hashes, more than ${HASH_LIMIT}`);
  const hashes = lines.map((line, position) => {
    const hash = parseHash(line);
    if (!hash) throw refuse(`hash ${position} is not the base64 of 32 bytes`);
    return hash;
  });
  const checkpoint = new Uint8Array(buffer.subarray(blank + 2));
  return extra ? { index, hashes, checkpoint, extra } : { index, hashes, checkpoint };
}

function parseExtra(line: string): Uint8Array {
  const text = line.slice("extra ".length);
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw refuse("its extra data is not base64");
  return bytes;
}

function refuse(state: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot read proof: ${state}`);
}
