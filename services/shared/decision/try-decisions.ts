import { create } from "@bufbuild/protobuf";
import { type KeyGrant, KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { decide } from "./decide.ts";
import type { AskedFacts } from "./rule-tables.ts";
import type { DecisionTables } from "./tables.ts";

/** What trying tables costs at most. */
export interface TrialLimits {
  /** The longest that one decision may take, milliseconds. Default 50: a thousand times what one takes. */
  readonly decisionMs?: number;
  /** The longest that all of them may take, milliseconds of work. Default 2,000. */
  readonly totalMs?: number;
  /** The time, in milliseconds from some start. Must rise. */
  readonly monotonicMs: () => number;
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
  { decisionMs = 50, totalMs = 2_000, monotonicMs }: TrialLimits,
): Generator<undefined, string | undefined, undefined> {
  const targets = new Set(tables.snapshot.targets);
  let spentMs = 0;
  for (const model of tables.models.keys()) {
    for (const grant of [createSampleGrant(tables.snapshot.organisation), ...grants.slice(0, SAMPLE_GRANTS)]) {
      for (const operation of SAMPLE_OPERATIONS) {
        const call = { grant, model, eventId: SAMPLE_EVENT, nowMs: 0, asked: toAsked(operation) };
        const what = `a decision for model "${model}"`;
        const beganMs = monotonicMs();
        try {
          const decision = decide(tables, call);
          const strays = decision.kind === "plan" && decision.candidates.some(({ target }) => !targets.has(target));
          if (strays) return `${what} leads to a target that is not in the snapshot`;
        } catch (error) {
          return `${what} throws: ${error instanceof Error ? error.message : String(error)}`;
        }
        const tookMs = monotonicMs() - beganMs;
        spentMs += tookMs;
        if (tookMs > decisionMs) return `${what} takes ${Math.round(tookMs)} ms, more than ${decisionMs}`;
        if (spentMs > totalMs) return `trying its decisions takes more than ${totalMs} ms`;
      }
      yield;
    }
  }
  return undefined;
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
