import { writeAttempt } from "./attempt-bytes.ts";
import { writeCallBeginning, writeCaller } from "./call-record.ts";
import { getVersionsBytes } from "./encoded-parts.ts";
import { endUsage, FACTS_ID, openFacts } from "./facts-frame.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { EncodedProducer } from "./producer.ts";
import { writeRules } from "./rules-record.ts";
import type { StartedCall } from "./started-call.ts";
import type { WireWriter } from "./wire-writer.ts";

/**
 * Writes the payload of a call's facts: its usage and its record, each with its seq, byte for byte as the generated code would
 * encode them (`call-facts.test.ts` holds it to that). Written by hand since it takes a twentieth of the time: most of it is
 * the same from call to call, and none of it becomes an object first. The numbers are those of the fields in `proto/`.
 */
export function writeCallFacts(
  writer: WireWriter,
  started: StartedCall,
  outcome: Outcome,
  producer: EncodedProducer,
  usageSeq: number,
  recordSeq: number,
): void {
  openFacts(writer, started.eventId, usageSeq, recordSeq);
  const attempts = writeUsage(writer, started, outcome, producer, usageSeq);
  endUsage(writer);
  writeRecorded(writer, started, outcome, producer, recordSeq, attempts);
}

/** Where the attempts of the usage stand. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** A UsageRecorded. */
function writeUsage(
  writer: WireWriter,
  started: StartedCall,
  { kind, attempts, endedAtMs }: Outcome,
  producer: EncodedProducer,
  seq: number,
): Span {
  writeId(writer);
  writeProducer(writer, 2, producer, seq);
  writeCaller(writer, 3, started);
  writer.int(4, started.operation);
  writer.text(5, started.model);
  writer.int(6, kind);
  const from = writer.at;
  for (let index = 0; index < attempts.length; index++) {
    writeAttempt(writer, 7, started, attempts[index] as AttemptOutcome);
  }
  const to = writer.at;
  writer.message(8, getVersionsBytes(started.versions));
  writer.timestamp(9, started.startedAtMs);
  writer.timestamp(10, endedAtMs);
  return { from, to };
}

/** An AuditRecorded. */
function writeRecorded(
  writer: WireWriter,
  started: StartedCall,
  outcome: Outcome,
  producer: EncodedProducer,
  seq: number,
  attempts: Span,
): void {
  const { organisation } = started.caller;
  writeId(writer);
  writeProducer(writer, 2, producer, seq);
  writer.text(3, organisation);
  const record = writer.open(4);
  writeId(writer);
  writer.timestamp(2, outcome.endedAtMs);
  writer.raw(producer.inRecord);
  writer.text(5, organisation);
  const call = writer.open(10);
  writeCallBeginning(writer, started);
  writer.int(9, outcome.kind);
  writer.text(10, outcome.reason ?? "");
  // As they stand in the usage, where they are field 7.
  writer.itemsAgain(11, attempts.from, attempts.to);
  writer.timestamp(12, started.startedAtMs);
  writer.timestamp(13, outcome.endedAtMs);
  writeRules(writer, started);
  writer.close(call);
  writer.close(record);
}

/** Field 1: the id, as it stands at the front of the entry. */
function writeId(writer: WireWriter): void {
  writer.bytes[writer.at++] = (1 << 3) | 2;
  writer.varint(FACTS_ID.to - FACTS_ID.from);
  writer.again(FACTS_ID.from, FACTS_ID.to);
}

function writeProducer(writer: WireWriter, field: number, { inProducer }: EncodedProducer, seq: number): void {
  const start = writer.open(field);
  writer.raw(inProducer);
  writer.int(4, seq);
  writer.close(start);
}
