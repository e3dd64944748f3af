import type { SpooledFact } from "./fact-reader.ts";

/** Most facts in a message on the bus. */
export const BATCH_FACTS = 500;
/** Most bytes of facts in a message, unless one alone has more: half of what the bus takes. */
export const BATCH_BYTES = 512 * 1024;

/** Tag of field 1, length-delimited: both UsageRecordedBatch and AuditRecordedBatch hold their facts there. */
const FIELD_1 = 0x0a;

/**
 * Facts as a UsageRecordedBatch or AuditRecordedBatch, put together from their bytes: nothing is decoded and encoded again,
 * so a record stays as its producer said it.
 */
export function encodeBatch(facts: readonly SpooledFact[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { bytes } of facts) parts.push(toHead(bytes.length), bytes);
  return Buffer.concat(parts);
}

// https://protobuf.dev/programming-guides/encoding/#length-types
function toHead(length: number): Uint8Array {
  const head = [FIELD_1];
  let rest = length;
  while (rest > 0x7f) {
    head.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  head.push(rest);
  return Uint8Array.from(head);
}
