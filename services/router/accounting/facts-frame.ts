import { FRAME_HEAD_BYTES } from "./frame.ts";
import type { WireWriter } from "./wire-writer.ts";

/** What a settled call, or a minute's refusals, leave behind: one entry, so that usage and record are there both or neither. */
export interface Facts {
  /** Id of the call or of the record. */
  readonly eventId: string;
  /** Its number among the usages of its boot, from 1; 0 when there is none. */
  readonly usageSeq: number;
  /** Its number among the records of its boot, from 1. */
  readonly recordSeq: number;
  /** A UsageRecorded, encoded; empty when there is none. */
  readonly usage: Uint8Array;
  /** An AuditRecorded, encoded. */
  readonly record: Uint8Array;
}

/** The payload: both seqs (8 bytes each), the id (36), the length of the usage (4), usage, record. */
const ID_AT = 16;
const ID_BYTES = 36;
const USAGE_LENGTH_AT = ID_AT + ID_BYTES;
const USAGE_AT = USAGE_LENGTH_AT + 4;

/** Where the id stands in an entry that is being written. */
export const FACTS_ID = { from: FRAME_HEAD_BYTES + ID_AT, to: FRAME_HEAD_BYTES + ID_AT + ID_BYTES } as const;

/** Begins the payload of an entry of facts. The usage is written next, then `endUsage` is called, then the record is written. */
export function openFacts(writer: WireWriter, eventId: string, usageSeq: number, recordSeq: number): void {
  // Seqs are numbers, not BigInts: a boot would need 9 × 10^15 calls to leave what a number holds exactly.
  writer.uint64(usageSeq);
  writer.uint64(recordSeq);
  writer.latin1(eventId, ID_BYTES);
  writer.at = FRAME_HEAD_BYTES + USAGE_AT;
}

/** Notes that the usage ends here and the record begins. */
export function endUsage(writer: WireWriter): void {
  writer.bytes.writeUInt32BE(writer.at - FRAME_HEAD_BYTES - USAGE_AT, FRAME_HEAD_BYTES + USAGE_LENGTH_AT);
}

/** Reads the payload of an entry whose check was good. */
export function decodeFacts(payload: Buffer): Facts {
  const split = findUsageEnd(payload, 0);
  return {
    usageSeq: readUsageSeq(payload, 0),
    recordSeq: readRecordSeq(payload, 0),
    eventId: payload.toString("latin1", ID_AT, ID_AT + ID_BYTES),
    usage: payload.subarray(USAGE_AT, split),
    record: payload.subarray(split),
  };
}

/** The seq of the usage, in a payload that begins at `at`; 0 when there is none. */
export function readUsageSeq(bytes: Buffer, at: number): number {
  return readSeq(bytes, at);
}

/** The seq of the record, in a payload that begins at `at`. */
export function readRecordSeq(bytes: Buffer, at: number): number {
  return readSeq(bytes, at + 8);
}

/** Where the usage begins, in a payload that begins at `at`. */
export function findUsageStart(at: number): number {
  return at + USAGE_AT;
}

/** Where the usage ends and the record begins, in a payload that begins at `at`. */
export function findUsageEnd(bytes: Buffer, at: number): number {
  return at + USAGE_AT + bytes.readUInt32BE(at + USAGE_LENGTH_AT);
}

function readSeq(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}
