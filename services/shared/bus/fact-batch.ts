/**
 * A message of facts as producers send it: one of the `…Batch` messages of weir.event.v1, each of which holds its facts in field 1. It is
 * taken apart by hand, because the generated reader gives up at the first fact that is broken, and encodes anew what it read.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Position } from "../database/watermark.ts";
import type { BusMessage } from "./consume.ts";

/** A fact in its message; nothing of it is believed yet. */
export interface BatchedFact {
  /** Exactly the bytes that the producer wrote. */
  readonly bytes: Uint8Array;
  /**
   * Which numbers the message's id says it has: one, or none when the id does not tell. A message that is no batch is one fact with all
   * numbers that its id claims.
   */
  readonly positions: readonly Position[];
}

/** A producer sends at most 500 facts at once; what claims or holds more than this is not one of ours. */
const MAX_FACTS = 10_000;

/** Takes a message of this region's stream apart. Never throws: all of it comes from outside. */
export function splitBatch(region: string, { payload, messageId }: BusMessage): BatchedFact[] {
  const claimed = parseMessageId(region, messageId);
  const parts = split(payload);
  if (parts === undefined) return [{ bytes: payload, positions: claimed }];
  // Its place among the others tells a fact's number, when the id counts as many as there are.
  const isCounted = claimed.length === parts.length;
  return parts.map((bytes, index) => ({ bytes, positions: isCounted ? [claimed[index]!] : [] }));
}

// "<region>.<instance>.<boot>.<first>-<last>", and ".<n>" when it is sent again on purpose. Nobody moves another region's watermark.
function parseMessageId(region: string, id: string): Position[] {
  const match =
    /^([a-z0-9-]{1,32})\.([a-z0-9-]{1,63})\.([a-z0-9-]{1,36})\.([0-9]{1,18})-([0-9]{1,18})(?:\.[0-9]{1,9})?$/.exec(id);
  if (match === null || match[1] !== region) return [];
  const [first, last] = [BigInt(match[4]!), BigInt(match[5]!)];
  if (first < 1n || last < first || last - first >= BigInt(MAX_FACTS)) return [];
  const positions: Position[] = [];
  for (let seq = first; seq <= last; seq++) positions.push({ region, producer: match[2]!, boot: match[3]!, seq });
  return positions;
}

// Undefined when it is no batch. Fields that we do not know are passed over.
function split(payload: Uint8Array): Uint8Array[] | undefined {
  const parts: Uint8Array[] = [];
  try {
    const reader = new BinaryReader(payload);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1 && wireType === WireType.LengthDelimited) parts.push(reader.bytes());
      else reader.skip(wireType, field);
      if (parts.length > MAX_FACTS) return undefined;
    }
  } catch {
    return undefined;
  }
  return parts;
}
