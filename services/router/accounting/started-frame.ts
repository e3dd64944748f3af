import { create, fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type CallRecord, CallRecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { type SnapshotTarget, SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { PinnedVersionsSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import { writeCallBeginning } from "./call-record.ts";
import { getTargetBytes } from "./encoded-parts.ts";
import { readRules, writeRules } from "./rules-record.ts";
import type { StartedCall, StartedCandidate, StartedRejection } from "./started-call.ts";
import { decodeStartedJson, FORM_JSON } from "./started-json.ts";
import type { WireWriter } from "./wire-writer.ts";

/** The first byte of a started call: its form. Text of JSON was the first one. */
const FORM = 2;
/** What follows is a protobuf message by hand, of these fields. */
const FIELD = { call: 1, target: 2, requestBytes: 3, maxOutputTokens: 4, answers: 5 } as const;
/** The instant in a CallRecord. */
const CALL_STARTED_AT = 12;

/**
 * Writes a started call: what its record will begin with (a CallRecord without its outcome), the targets that may be tried, with
 * their prices, and what bounds the bill.
 */
export function writeStarted(writer: WireWriter, started: StartedCall): void {
  const { candidates, maxOutputTokens, answers } = started;
  writer.bytes[writer.at++] = FORM;
  const call = writer.open(FIELD.call);
  writeCallBeginning(writer, started);
  writer.timestamp(CALL_STARTED_AT, started.startedAtMs);
  writeRules(writer, started);
  writer.close(call);
  for (let index = 0; index < candidates.length; index++) {
    writer.message(FIELD.target, getTargetBytes((candidates[index] as StartedCandidate).target));
  }
  writer.int(FIELD.requestBytes, started.requestBytes);
  // One more than it is: 0 and none differ.
  if (maxOutputTokens !== undefined) writer.int(FIELD.maxOutputTokens, maxOutputTokens + 1n);
  if (answers !== undefined) writer.int(FIELD.answers, answers + 1);
}

/**
 * Reads a started call that an earlier process wrote, perhaps of an older version. Throws when it cannot. A limit that the record
 * would not name is not there.
 */
export function decodeStarted(eventId: string, payload: Uint8Array): StartedCall {
  const form = payload[0];
  if (form === FORM_JSON) return decodeStartedJson(payload);
  if (form !== FORM) throw new RangeError(`Cannot read started call: its form is ${form}, known is ${FORM}`);
  let call: CallRecord | undefined;
  const targets: SnapshotTarget[] = [];
  let requestBytes = 0;
  let maxOutputTokens: bigint | undefined;
  let answers: number | undefined;
  // Not as a Buffer, or the bytes within would be Buffers too.
  const reader = new BinaryReader(new Uint8Array(payload.buffer, payload.byteOffset + 1, payload.length - 1));
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === FIELD.call) call = fromBinary(CallRecordSchema, reader.bytes());
    else if (field === FIELD.target) targets.push(fromBinary(SnapshotTargetSchema, reader.bytes()));
    else if (field === FIELD.requestBytes) requestBytes = Number(reader.uint64());
    else if (field === FIELD.maxOutputTokens) maxOutputTokens = BigInt(reader.uint64()) - 1n;
    else if (field === FIELD.answers) answers = Number(reader.uint64()) - 1;
    else reader.skip(type, field);
  }
  if (call?.startedAt === undefined) throw new RangeError("Cannot read started call: it does not say when it began");
  const caller = call.caller ?? create(CallerSchema);
  const { endUser } = caller;
  const rules = readRules(call);
  caller.endUser = "";
  return {
    eventId,
    caller,
    endUser,
    operation: call.operation,
    model: call.model,
    streamed: call.streamed,
    surface: call.surface,
    versions: call.versions ?? create(PinnedVersionsSchema),
    startedAtMs: timestampMs(call.startedAt),
    limits: call.limits.map((id) => ({ id })),
    ...placeTargets(call, targets),
    ...(rules === undefined ? {} : { rules }),
    requestBytes,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(answers === undefined ? {} : { answers }),
  };
}

// The targets stand in the order of the candidates that have a score.
function placeTargets({ candidates }: CallRecord, targets: readonly SnapshotTarget[]) {
  const placed: StartedCandidate[] = [];
  const rejected: StartedRejection[] = [];
  for (const { target: id, result, rule } of candidates) {
    if (result.case === "score") {
      const { priority, weight, draw, deferred } = result.value;
      const target = targets[placed.length] ?? create(SnapshotTargetSchema, { id });
      placed.push({ target, priority, weight, draw: Number(draw), ...(deferred && { isDeferred: true }) });
    } else {
      rejected.push({ target: { id }, reason: result.value ?? "", ...(rule === "" ? {} : { rule }) });
    }
  }
  return { candidates: placed, rejected };
}
