import type { Meter, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import { isReason } from "../../shared/errors/reason.ts";
import type { AttemptOutcome } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** That a call went on to a further target. */
export interface AttemptNote {
  /** Place of the target among those of the started call. */
  readonly targetIndex: number;
  readonly startedAtMs: number;
  /** The attempts that had ended. */
  readonly earlier: readonly AttemptOutcome[];
}

/** The note as JSON, targets by their place. */
export function encodeAttemptNote({ targetIndex, startedAtMs, earlier }: AttemptNote, started: StartedCall): Buffer {
  const written: WrittenNote = {
    targetIndex,
    startedAtMs,
    // Each by its name: what else the caller's attempts carry, such as their errors, may quote names of any length from a request.
    earlier: earlier.map(
      ({ target, startedAtMs, firstContentAtMs, endedAtMs, outcome, reason, providerStatus, usage }) => ({
        targetIndex: findTargetIndex(started, target),
        startedAtMs,
        ...(firstContentAtMs !== undefined && { firstContentAtMs }),
        endedAtMs,
        outcome,
        ...(reason !== undefined && { reason }),
        providerStatus,
        ...(usage !== undefined && {
          usage: { source: usage.source, quantities: Array.from(usage.quantities, ([m, q]) => [m, String(q)]) },
        }),
      }),
    ),
  };
  return Buffer.from(JSON.stringify(written));
}

/** Reads the note that an earlier process wrote. Throws when it cannot. */
export function decodeAttemptNote(bytes: Buffer, started: StartedCall): AttemptNote {
  const written = JSON.parse(bytes.toString()) as WrittenNote;
  return {
    targetIndex: written.targetIndex,
    startedAtMs: written.startedAtMs,
    earlier: written.earlier.flatMap(({ targetIndex, usage, reason, ...rest }) => {
      const target = started.candidates[targetIndex]?.target;
      if (target === undefined) return [];
      return [
        {
          ...rest,
          target,
          ...(reason !== undefined && isReason(reason) ? { reason } : {}),
          ...(usage === undefined
            ? {}
            : {
                usage: {
                  source: usage.source,
                  quantities: new Map(usage.quantities.map(([meter, quantity]) => [meter, BigInt(quantity)])),
                },
              }),
        },
      ];
    }),
  };
}

/** The place of a target among those of a call; -1 for another one. */
export function findTargetIndex({ candidates }: StartedCall, { id }: BilledTarget): number {
  return candidates.findIndex(({ target }) => target.id === id);
}

interface WrittenNote {
  readonly targetIndex: number;
  readonly startedAtMs: number;
  readonly earlier: readonly {
    readonly targetIndex: number;
    readonly startedAtMs: number;
    readonly firstContentAtMs?: number;
    readonly endedAtMs: number;
    readonly outcome: OutcomeKind;
    readonly reason?: string;
    readonly providerStatus: number;
    readonly usage?: { readonly source: UsageSource; readonly quantities: [Meter, string][] };
  }[];
}
