import { toStatus } from "./attempts.ts";
import { type BilledLine, findBilledUsage, findLine, METERS } from "./billed-lines.ts";
import { getAttemptBytes } from "./encoded-parts.ts";
import type { AttemptOutcome } from "./outcome.ts";
import type { StartedCall } from "./started-call.ts";
import type { WireWriter } from "./wire-writer.ts";

/** Writes an Attempt: measured or bounded, and priced. The bytes are those of what `toAttempt` returns. */
export function writeAttempt(writer: WireWriter, field: number, started: StartedCall, attempt: AttemptOutcome): void {
  const usage = findBilledUsage(started, attempt);
  const start = writer.open(field);
  writer.raw(getAttemptBytes(attempt.target));
  writer.int(4, attempt.outcome);
  writer.text(5, attempt.reason ?? "");
  writer.int(6, toStatus(attempt));
  if (usage !== undefined) {
    writer.int(7, usage.source);
    for (const meter of METERS) {
      const line = findLine(usage, attempt.target, meter);
      if (line !== undefined) writeLine(writer, line);
    }
  }
  writer.timestamp(9, attempt.startedAtMs);
  if (attempt.firstContentAtMs !== undefined) writer.timestamp(10, attempt.firstContentAtMs);
  writer.timestamp(11, attempt.endedAtMs);
  writer.close(start);
}

function writeLine(writer: WireWriter, { meter, quantity, priceNanosPerMillion, costNanos }: BilledLine): void {
  const start = writer.open(8);
  writer.int(1, meter);
  writer.int(2, quantity);
  writer.int(3, priceNanosPerMillion);
  writer.int(4, costNanos);
  writer.close(start);
}
