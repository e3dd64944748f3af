import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter, type OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";

/** What came of one call to one target. */
export interface AttemptResult {
  readonly target: SnapshotTarget;
  /** Milliseconds since 1970, as all times here. */
  readonly startedAtMs: number;
  readonly firstContentAtMs?: number;
  readonly endedAtMs: number;
  readonly outcome: OutcomeKind;
  /** Why it was not answered. */
  readonly reason?: Reason;
  /** HTTP status of the provider; 0 when it did not answer. */
  readonly providerStatus: number;
  /** The same with what brought it about, for the log. */
  readonly error?: WeirError;
  /** What it used. Absent when nobody knows: accounting has a rule for that. */
  readonly usage?: MeasuredUsage;
  /** Whether the target was passed over, since it can't be asked what the caller asks. No provider was called. */
  readonly isSkipped?: boolean;
}

/** Tokens by meter, disjoint, and who says so. */
export interface MeasuredUsage {
  readonly source: UsageSource;
  readonly quantities: ReadonlyMap<Meter, number>;
}

/** Of an attempt that can't have cost anything. */
export const NOTHING_USED: MeasuredUsage = { source: UsageSource.UNSPECIFIED, quantities: new Map() };

/** Bytes of text that count as a token when the provider does not say: the usual length of a token of English. */
const BYTES_PER_TOKEN = 4;

/**
 * Counts what an answer used when its provider did not say: a token for each four bytes of the request's body, and a token for
 * each four bytes of the text that was seen, at least one. An estimate, marked as such; never zero after a first token.
 */
export function countUsage(requestBytes: number, textBytes: number): MeasuredUsage {
  return {
    source: UsageSource.COUNTED,
    quantities: new Map([
      [Meter.INPUT_TOKENS, countInput(requestBytes)],
      [Meter.OUTPUT_TOKENS, Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN))],
    ]),
  };
}

/** Counts what an embedding used when its provider did not say: its vectors are no tokens. */
export function countEmbedding(requestBytes: number): MeasuredUsage {
  return {
    source: UsageSource.COUNTED,
    quantities: new Map([[Meter.INPUT_TOKENS, Math.max(1, countInput(requestBytes))]]),
  };
}

/** Tokens of a request, counted as {@link countUsage} does. */
export function countInput(requestBytes: number): number {
  return Math.ceil(requestBytes / BYTES_PER_TOKEN);
}
