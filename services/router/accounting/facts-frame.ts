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

const HEAD_BYTES = 8 + 8 + 36 + 4;

/** The facts as the payload of an entry: both seqs (8 bytes each), the id (36), length of the usage (4), usage, record. */
export function encodeFacts({ eventId, usageSeq, recordSeq, usage, record }: Facts): Uint8Array[] {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  // Seqs are numbers, not BigInts: a boot would need 9 × 10^15 calls to leave what a number holds exactly.
  writeSeq(head, usageSeq, 0);
  writeSeq(head, recordSeq, 8);
  head.fill(0, 16, 52);
  head.write(eventId, 16, 36, "latin1");
  head.writeUInt32BE(usage.length, 52);
  return [head, usage, record];
}

/** Reads the payload of an entry whose check was good. */
export function decodeFacts(payload: Buffer): Facts {
  const split = HEAD_BYTES + payload.readUInt32BE(52);
  return {
    usageSeq: readSeq(payload, 0),
    recordSeq: readSeq(payload, 8),
    eventId: payload.toString("latin1", 16, 52),
    usage: payload.subarray(HEAD_BYTES, split),
    record: payload.subarray(split),
  };
}

function writeSeq(buffer: Buffer, seq: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(seq / 2 ** 32), at);
  buffer.writeUInt32BE(seq % 2 ** 32, at + 4);
}

function readSeq(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * 2 ** 32 + buffer.readUInt32BE(at + 4);
}
