import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { type AttemptNote, decodeAttemptNote } from "./attempt-note.ts";
import { boundUsage } from "./bound.ts";
import type { LeftOpenCall, Leftover } from "./leftover.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { StartedCall } from "./started-call.ts";
import { decodeStarted } from "./started-frame.ts";

/** Settles a call under this life's seqs, with the call's own id. */
export type SettleRecovered = (started: StartedCall, outcome: Outcome) => void;

/**
 * Settles the calls that dead routers left open, each at the most it can have cost. Killed in the middle and repeated by yet
 * another successor it does the same again: ids are the calls' own, and what an earlier successor has settled is skipped or,
 * where that was shipped and removed, recognised by its owner as a repeat. Returns how many were settled.
 */
export function recoverCalls(leftovers: readonly Leftover[], settle: SettleRecovered, nowMs: number, log: Log): number {
  const settled = new Set(leftovers.flatMap(({ settledForOthers }) => [...settledForOthers]));
  let count = 0;
  for (const leftover of leftovers) {
    for (const [eventId, left] of leftover.open) {
      if (settled.has(eventId)) continue;
      try {
        const started = decodeStarted(eventId, left.started);
        settle(started, toAbandoned(started, left, nowMs));
        count += 1;
      } catch (error) {
        // Of a later version, or damaged in a way that its check did not see. The others must not be lost for it.
        log.error({ error, eventId }, "Cannot settle a call of a dead router");
      }
    }
  }
  return count;
}

// STARTED is written right before the first target is called, so the provider may have worked for it: the bound is billed.
function toAbandoned(started: StartedCall, left: LeftOpenCall, nowMs: number): Outcome {
  const note: AttemptNote | undefined = left.attempt && decodeAttemptNote(left.attempt, started);
  const attempts = [...(note?.earlier ?? [])];
  const target = started.candidates[note?.targetIndex ?? 0]?.target;
  if (target !== undefined) {
    const startedAtMs = note?.startedAtMs ?? started.startedAtMs;
    const last: AttemptOutcome = {
      target,
      startedAtMs,
      endedAtMs: Math.max(nowMs, startedAtMs),
      outcome: OutcomeKind.ABANDONED,
      reason: "INTERNAL",
      providerStatus: 0,
      usage: boundUsage(started, target),
    };
    attempts.push(last);
  }
  return {
    kind: OutcomeKind.ABANDONED,
    reason: "INTERNAL",
    endedAtMs: Math.max(nowMs, started.startedAtMs),
    attempts,
  };
}
