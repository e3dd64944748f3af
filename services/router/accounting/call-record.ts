import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import { getCallerBytes, getVersionsBytes } from "./encoded-parts.ts";
import type { StartedCall, StartedCandidate, StartedRejection } from "./started-call.ts";
import type { WireWriter } from "./wire-writer.ts";

/** Limits named in a record: a record has 60,000 bytes at most, and a call under more of them is told by these. */
export const LIMITS_NAMED = 128;

/** `end_user` of a Caller: its last field. */
const END_USER = 10;

/** Writes a Caller with the person at the end. */
export function writeCaller(
  writer: WireWriter,
  field: number,
  { caller, endUser }: { readonly caller: Caller; readonly endUser: string },
): void {
  const bytes = getCallerBytes(caller);
  if (endUser === "") {
    writer.message(field, bytes);
    return;
  }
  const start = writer.open(field);
  writer.raw(bytes);
  writer.text(END_USER, endUser);
  writer.close(start);
}

/** Writes the fields 1 to 8 of a CallRecord: all that is known when the call begins, but the instant. */
export function writeCallBeginning(writer: WireWriter, started: StartedCall): void {
  const { limits, candidates, rejected } = started;
  writeCaller(writer, 1, started);
  writer.int(2, started.operation);
  writer.text(3, started.model);
  writer.bool(4, started.streamed);
  writer.text(5, started.surface);
  writer.message(6, getVersionsBytes(started.versions));
  // Loops over indexes here and below: an iterator for each would be the only garbage of an entry.
  const named = Math.min(limits.length, LIMITS_NAMED);
  for (let index = 0; index < named; index++) writer.item(7, (limits[index] as { readonly id: string }).id);
  for (let index = 0; index < candidates.length; index++) writeCandidate(writer, candidates[index] as StartedCandidate);
  for (let index = 0; index < rejected.length; index++) writeRejection(writer, rejected[index] as StartedRejection);
}

function writeCandidate(writer: WireWriter, { target, priority, weight, draw, isDeferred }: StartedCandidate): void {
  const candidate = writer.open(8);
  writer.text(1, target.id);
  const score = writer.open(3);
  writer.int(1, priority);
  writer.int(2, weight);
  writer.int(3, draw);
  if (isDeferred === true) writer.bool(4, true);
  writer.close(score);
  writer.close(candidate);
}

function writeRejection(writer: WireWriter, { target, reason, rule }: StartedRejection): void {
  const candidate = writer.open(8);
  writer.text(1, target.id);
  // In a oneof, so it is written also when empty.
  writer.item(2, reason);
  if (rule !== undefined) writer.text(4, rule);
  writer.close(candidate);
}
