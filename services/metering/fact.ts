import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type UsageRecorded, UsageRecordedSchema } from "../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { BusMessage } from "../shared/bus/consume.ts";
import { findPosition, type Position } from "../shared/database/watermark.ts";

/** A usage as it came from the bus. */
export interface Fact {
  /** Region whose stream it came from. */
  readonly region: string;
  /** Exactly the bytes that the producer wrote. */
  readonly bytes: Uint8Array;
  /** What the bytes say; undefined when they are not a UsageRecorded. */
  readonly usage?: UsageRecorded;
  /** What it counts as, once it is posted or parked; none when nobody can tell, or when it claims another region's producer. */
  readonly positions: readonly Position[];
}

// A producer sends at most 500 facts at once; an id that claims more is not one of ours.
const MAX_SPAN = 10_000n;

/**
 * Reads the facts of a message, each by itself: one that is broken does not take the others with it. A message that is no
 * batch at all is one fact without a usage, which stands for all that the message's id says are in it. Never throws: all of
 * it comes from outside.
 */
export function readFacts(region: string, message: BusMessage): Fact[] {
  const span = parseMessageId(region, message.messageId);
  const parts = splitBatch(message.payload);
  if (parts === undefined) return [{ region, bytes: message.payload, positions: span }];
  return parts.map((bytes, index): Fact => {
    const usage = decode(bytes);
    if (usage === undefined) {
      // Its place among the others tells its number, when the id counts as many facts as there are.
      const place = span.length === parts.length ? span[index] : undefined;
      return { region, bytes, positions: place === undefined ? [] : [place] };
    }
    return { region, bytes, usage, positions: positionsOf(region, usage) };
  });
}

// A router of one region must not move the watermark of another's, which would let that one drop what nobody has.
function positionsOf(region: string, { producer }: UsageRecorded): Position[] {
  const position = findPosition(producer);
  return position?.region === region ? [position] : [];
}

// "<region>.<router>.<boot>.<first>-<last>", and ".<n>" when it is sent again on purpose.
function parseMessageId(region: string, id: string): Position[] {
  const match =
    /^([a-z0-9-]{1,32})\.([a-z0-9-]{1,63})\.([a-z0-9-]{1,36})\.([0-9]{1,18})-([0-9]{1,18})(?:\.[0-9]{1,9})?$/.exec(id);
  if (match === null || match[1] !== region) return [];
  const [first, last] = [BigInt(match[4]!), BigInt(match[5]!)];
  if (first < 1n || last < first || last - first >= MAX_SPAN) return [];
  const positions: Position[] = [];
  for (let seq = first; seq <= last; seq++) positions.push({ region, producer: match[2]!, boot: match[3]!, seq });
  return positions;
}

// UsageRecordedBatch { repeated UsageRecorded usages = 1; }, read by hand because the generated reader gives up at the first usage that
// is broken, and re-encodes what it read. Fields that we do not know are passed over.
function splitBatch(payload: Uint8Array): Uint8Array[] | undefined {
  const parts: Uint8Array[] = [];
  try {
    const reader = new BinaryReader(payload);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1 && wireType === WireType.LengthDelimited) parts.push(reader.bytes());
      else reader.skip(wireType, field);
    }
  } catch {
    return undefined;
  }
  return parts;
}

function decode(bytes: Uint8Array): UsageRecorded | undefined {
  try {
    return fromBinary(UsageRecordedSchema, bytes);
  } catch {
    return undefined;
  }
}
