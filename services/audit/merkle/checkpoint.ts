import { WeirError } from "../../shared/errors/weir-error.ts";
import { EMPTY_ROOT, HASH_BYTES, isSameHash } from "./hash.ts";
import { MAX_TREE_SIZE } from "./tree.ts";

/** An origin names the key too, so it holds what a key name of a signed note may hold. */
const ORIGIN_FORBIDS = /[\s\p{Cc}+]/u;

/** What a log signs: that its first `size` records have this root. */
export interface Checkpoint {
  /** The log's name, which is also the name of its key: `weir.local/audit/eu`. */
  readonly origin: string;
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** The text of a checkpoint as it is signed (c2sp.org/tlog-checkpoint v1.0.0), without extension lines, which none could audit. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${Buffer.from(checkpoint.root).toString("base64")}\n`;
}

/**
 * Reads the text of an opened checkpoint note. Stricter than the specification where we are the only writers: extension lines
 * and origins that could not name a key are refused, as PROOF_REFUSED. Says nothing about who signed it.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split("\n");
  const [origin = "", sizeText = "", rootText = ""] = lines;
  if (lines.length !== 4 || lines[3] !== "") throw refuse(`it has ${lines.length - 1} lines, needs 3`);
  if (origin === "" || ORIGIN_FORBIDS.test(origin)) throw refuse("its origin is empty or holds a space or a plus sign");
  const size = parseDecimal(sizeText);
  if (size === undefined) throw refuse("its size is not a number of leaves");
  const root = parseHash(rootText);
  if (!root) throw refuse("its root is not the base64 of 32 bytes");
  if (size === 0n && !isSameHash(root, EMPTY_ROOT))
    throw refuse("its size is 0, its root is not that of the empty tree");
  return { origin, size, root };
}

/** Reads an index or a size: ASCII decimal without leading zeros, at most `MAX_TREE_SIZE`; undefined for anything else. */
export function parseDecimal(text: string): bigint | undefined {
  // The length is bounded first: converting a long text to a number is quadratic.
  if (text.length > 20 || !/^(?:0|[1-9][0-9]*)$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= MAX_TREE_SIZE ? value : undefined;
}

/** Reads a hash in canonical base64; undefined for anything else, so that no two texts mean the same hash. */
export function parseHash(text: string): Uint8Array | undefined {
  if (text.length !== 44) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.length === HASH_BYTES && bytes.toString("base64") === text ? bytes : undefined;
}

function refuse(state: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot read checkpoint: ${state}`);
}
