import { create } from "@bufbuild/protobuf";
import { type KeyGrant, KeyGrantSchema, type SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { type DescribedCall, decide } from "./decide.ts";
import type { AskedFacts } from "./rule-tables.ts";
import type { DecisionTables } from "./tables.ts";

/** What trying tables costs at most. */
export interface TrialLimits {
  /** The longest that one decision may work, twice in a row, milliseconds. Default 50: a thousand times what one takes. */
  readonly decisionMs?: number;
  /** The longest that all of them may work, milliseconds. Default 2,000. */
  readonly totalMs?: number;
  /** How long this thread has worked, milliseconds: not the time of day, which goes on while a busy machine serves others. */
  readonly workedMs: () => number;
}

/** One id for all samples: what is tried must be the same at each router. */
const SAMPLE_EVENT = "01980000-0000-7000-8000-000000000000";
/** Of so many keys of the keyring decisions are tried, besides one that may do everything. */
export const SAMPLE_GRANTS = 8;
const SAMPLE_OPERATIONS = [Operation.CHAT, Operation.EMBEDDING];

/**
 * Tries tables before anybody depends on them: each model is asked for by a key that may do everything and by some of the region's own keys,
 * as a chat and as an embedding. Returns the first problem in words: a decision that throws, that leads out of the snapshot, or that takes
 * too long. Yields between decisions, so that the caller may put it down; a decision by itself is bounded by the limits of a snapshot and by
 * the cost that conditions may have.
 */
export function* tryDecisions(
  tables: DecisionTables,
  grants: readonly KeyGrant[],
  { decisionMs = 50, totalMs = 2_000, workedMs }: TrialLimits,
): Generator<undefined, string | undefined, undefined> {
  const targets = new Set(tables.snapshot.targets);
  const sampleGrants = [createSampleGrant(tables.snapshot.organisation), ...grants.slice(0, SAMPLE_GRANTS)];
  let spentMs = 0;
  for (const model of tables.models.keys()) {
    for (const grant of sampleGrants) {
      for (const operation of SAMPLE_OPERATIONS) {
        const call = { grant, model, eventId: SAMPLE_EVENT, nowMs: 0, asked: toAsked(operation) };
        const what = `a decision for model "${model}"`;
        // A second time: the first one may have paid for compiling code, or for collecting garbage.
        for (let attempt = 1; ; attempt++) {
          const beganMs = workedMs();
          const problem = tryDecision(tables, call, targets);
          if (problem !== undefined) return `${what} ${problem}`;
          const tookMs = workedMs() - beganMs;
          spentMs += tookMs;
          if (tookMs <= decisionMs) break;
          if (attempt === 2) return `${what} takes ${Math.round(tookMs)} ms, more than ${decisionMs}`;
        }
        if (spentMs > totalMs) return `trying its decisions takes more than ${totalMs} ms`;
      }
      yield;
    }
  }
  return undefined;
}

function tryDecision(
  tables: DecisionTables,
  call: DescribedCall,
  targets: ReadonlySet<SnapshotTarget>,
): string | undefined {
  try {
    const decision = decide(tables, call);
    const strays = decision.kind === "plan" && decision.candidates.some(({ target }) => !targets.has(target));
    return strays ? "leads to a target that is not in the snapshot" : undefined;
  } catch (error) {
    return `throws: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function createSampleGrant(organisation: string): KeyGrant {
  const tenant = { organisation, team: "sample", app: "sample", environment: "sample" };
  return create(KeyGrantSchema, { keyId: "aaaaaaaaaaaa", ...tenant, models: ["*"] });
}

function toAsked(operation: Operation): AskedFacts {
  return {
    operation,
    streamed: operation === Operation.CHAT,
    maxOutputTokens: undefined,
    requestBytes: 1_000,
    arrivedAtMs: 0,
  };
}
