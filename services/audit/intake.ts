import { create, fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { type AuditRecorded, AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import type { BusMessage } from "../shared/bus/consume.ts";
import { splitBatch } from "../shared/bus/fact-batch.ts";
import { findPosition } from "../shared/database/watermark.ts";
import { compileRules } from "../shared/validation/compile-rules.ts";
import { getFailFastValidator } from "../shared/validation/validator.ts";
import type { SaidRecord } from "./log/sequence.ts";
import type { UnfitFact } from "./store/parked.ts";

/** What a message of the bus holds: records to be logged, and what can never be. */
export interface Said {
  readonly records: readonly SaidRecord[];
  readonly unfit: readonly UnfitFact[];
}

const keepsRules = compileRules(AuditRecordedSchema);

/**
 * Reads one message of the AUDIT stream. Each record is judged for itself, so that a bad one does not keep its neighbours out of
 * the log; what is unfit comes back with its reason and, where it can be told, with its place in its producer's row, so that the
 * watermark can pass it. Never throws: a message that is refused for ever would block the stream.
 */
export function readMessage(message: BusMessage, region: string): Said {
  const records: SaidRecord[] = [];
  const unfit: UnfitFact[] = [];
  for (const { bytes: payload, positions } of splitBatch(region, message)) {
    const fact = decode(payload);
    if (fact === undefined) {
      unfit.push({ positions, reason: "MALFORMED", detail: "it is no record with its envelope", payload });
      continue;
    }
    const position = findPosition(fact.producer);
    const problem = findProblem(fact, region);
    if (problem || !position) {
      const { reason, detail } = problem ?? { reason: "MALFORMED", detail: "it names no producer" };
      unfit.push({ positions: position ? [position] : [], reason, detail, payload });
    } else {
      const { recordId, organisation, record } = fact;
      // UUIDs are compared as PostgreSQL writes them; an id in capitals is the same id.
      records.push({ recordId: recordId.toLowerCase(), organisation, record, position, payload });
    }
  }
  return { records, unfit };
}

function decode(bytes: Uint8Array): AuditRecorded | undefined {
  try {
    return fromBinary(AuditRecordedSchema, bytes);
  } catch {
    return undefined;
  }
}

type Problem = Pick<UnfitFact, "reason" | "detail">;

function findProblem(fact: AuditRecorded, region: string): Problem | undefined {
  if (!keepsRules(fact)) {
    // Only for words: it says the same, in many times the time.
    const { violations, error } = getFailFastValidator().validate(AuditRecordedSchema, fact);
    return { reason: "MALFORMED", detail: `the fact breaks its constraints: ${violations?.[0] ?? error}` };
  }
  if (fact.producer?.region !== region) {
    // A record of another region must not get into this log, whoever let it onto this bus.
    return { reason: "FOREIGN_REGION", detail: `it comes from the region "${fact.producer?.region}"` };
  }
  return findMismatch(fact);
}

/** The log files a record under its envelope's id and organisation, so these must be what the record itself says. */
function findMismatch(fact: AuditRecorded): Problem | undefined {
  let record = create(RecordSchema);
  try {
    record = fromBinary(RecordSchema, fact.record);
  } catch {
    return { reason: "MALFORMED", detail: "the record can't be decoded" };
  }
  if (record.recordId !== fact.recordId) return mismatch("id");
  if (record.organisation !== fact.organisation) return mismatch("organisation");
  if (record.region !== fact.producer?.region) return mismatch("region");
  return undefined;
}

function mismatch(what: string): Problem {
  return { reason: "MISMATCH", detail: `the record names another ${what} than its envelope` };
}
