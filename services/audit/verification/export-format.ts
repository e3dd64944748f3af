/**
 * The files of an exported log, as described in the service's README: lines of JSON in one exact form, so that whoever changes any
 * byte leaves the form or changes what is signed.
 */
import { isKeyName } from "../../shared/note/note.ts";
import { HASH_BYTES } from "../merkle/hash.ts";
import { Refusal } from "./verdict.ts";

/** File of the records, its header line first. */
export const RECORDS_FILE = "records.jsonl";
/** File of the checkpoints, by rising size. */
export const CHECKPOINTS_FILE = "checkpoints.jsonl";
/** Longest line that is read, in bytes; a record has at most 60,000 bytes, 80,000 in base64. */
export const LINE_LIMIT = 128 * 1024;
const FORMAT = "weir-audit-export@v1";

/** A record as it is exported. */
export interface ExportedRecord {
  readonly index: bigint;
  readonly leafHash: Uint8Array;
  readonly record: Uint8Array;
}

/** The first line of the records file. */
export function formatHeader(origin: string): string {
  return JSON.stringify({ format: FORMAT, origin });
}

/** Reads the first line of the records file. Throws `Refusal` unless it is exactly one that `formatHeader` writes. */
export function parseHeader(line: Uint8Array): string {
  const { text, value } = parseJson(line, `line 1 of ${RECORDS_FILE}`);
  const origin = typeof value.origin === "string" ? value.origin : "";
  // Verdicts quote it: what could not name a log's key could move the cursor of a terminal, and write another verdict over the true one.
  if (formatHeader(origin) !== text || !isKeyName(origin)) {
    throw new Refusal("MALFORMED", `Cannot read export: line 1 of ${RECORDS_FILE} is not the header of ${FORMAT}`);
  }
  return origin;
}

/** The line of a record. */
export function formatRecord({ index, leafHash, record }: ExportedRecord): string {
  return JSON.stringify({ index: Number(index), leaf: toBase64(leafHash), record: toBase64(record) });
}

/** Reads the line of the record that is expected at `index`. Throws `Refusal` unless it is exactly such a line. */
export function parseRecord(line: Uint8Array, index: bigint): ExportedRecord {
  const place = `record ${index}, line ${index + 2n} of ${RECORDS_FILE}`;
  const { text, value } = parseJson(line, place, index);
  const leafHash = fromBase64(value.leaf);
  const record = fromBase64(value.record);
  if (!Number.isSafeInteger(value.index) || !leafHash || !record) throw malformed(place, index);
  const found = BigInt(value.index as number);
  if (formatRecord({ index: found, leafHash, record }) !== text) throw malformed(place, index);
  if (leafHash.length !== HASH_BYTES) throw malformed(place, index);
  if (found !== index) {
    throw new Refusal("MISSING", `Cannot find record ${index}: in its place stands record ${found}`, { index });
  }
  return { index, leafHash, record };
}

/** The line of a checkpoint. */
export function formatCheckpointLine(note: Uint8Array): string {
  return JSON.stringify({ note: Buffer.from(note).toString("utf8") });
}

/** Reads the line of a checkpoint; `number` counts from 1. Throws `Refusal` unless it is exactly such a line. */
export function parseCheckpointLine(line: Uint8Array, number: number): Uint8Array {
  const place = `line ${number} of ${CHECKPOINTS_FILE}`;
  const { text, value } = parseJson(line, place);
  const note = Buffer.from(typeof value.note === "string" ? value.note : "");
  if (formatCheckpointLine(note) !== text) throw malformed(place);
  return note;
}

function parseJson(line: Uint8Array, place: string, index?: bigint): { text: string; value: Record<string, unknown> } {
  // Hostile input: its length is bounded by the reader; it must be UTF-8, then JSON, then an object.
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line);
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return { text, value: value as Record<string, unknown> };
  } catch {
    // Falls through: whatever it was, it is not the form.
  }
  throw malformed(place, index);
}

function malformed(place: string, index?: bigint): Refusal {
  return new Refusal("MALFORMED", `Cannot read export: ${place}, is malformed`, index === undefined ? {} : { index });
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function fromBase64(value: unknown): Uint8Array | undefined {
  return typeof value === "string" ? Buffer.from(value, "base64") : undefined;
}
