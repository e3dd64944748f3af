import { fromBinary } from "@bufbuild/protobuf";
import { type UsageRecorded, UsageRecordedSchema } from "../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { BusMessage } from "../shared/bus/consume.ts";
import { splitBatch } from "../shared/bus/fact-batch.ts";
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

/**
 * Reads the facts of a message, each by itself: one that is broken does not take the others with it. A message that is no
 * batch at all is one fact without a usage, which stands for all that the message's id says are in it. Never throws: all of
 * it comes from outside.
 */
export function readFacts(region: string, message: BusMessage): Fact[] {
  return splitBatch(region, message).map(({ bytes, positions }): Fact => {
    const usage = decode(bytes);
    return usage === undefined
      ? { region, bytes, positions }
      : { region, bytes, usage, positions: positionsOf(region, usage) };
  });
}

// A router of one region must not move the watermark of another's, which would let that one drop what nobody has.
function positionsOf(region: string, { producer }: UsageRecorded): Position[] {
  const position = findPosition(producer);
  return position?.region === region ? [position] : [];
}

function decode(bytes: Uint8Array): UsageRecorded | undefined {
  try {
    return fromBinary(UsageRecordedSchema, bytes);
  } catch {
    return undefined;
  }
}
