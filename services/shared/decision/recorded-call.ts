import { create } from "@bufbuild/protobuf";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { CallFacts, Candidate } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { isReason, type Reason } from "../errors/reason.ts";
import { type DescribedCall, decide } from "./decide.ts";
import type { Denial, Plan } from "./plan.ts";
import { putOff, type Turn } from "./put-off.ts";
import type { DecisionTables } from "./tables.ts";

/** A call as its record has it, as far as its decision used it. */
export interface RecordedCall {
  /** Id of the call, and of its record. */
  readonly eventId: string;
  readonly caller: Caller;
  readonly model: string;
  readonly operation: Operation;
  readonly streamed: boolean;
  /** Absent in the record of a call under a policy without rules. */
  readonly facts: CallFacts | undefined;
  /** When it began, milliseconds since 1970. */
  readonly arrivedAtMs: number;
  /** The targets that were looked at. */
  readonly candidates: readonly Candidate[];
}

/** Why a router leaves a target alone by what it has seen of it, once all else is decided. */
const SEEN_BY_ROUTER: ReadonlySet<string> = new Set<Reason>(["TARGET_EJECTED", "PROVIDER_RATE_LIMITED"]);

/**
 * Decides a recorded call again, to the plan that its record names, under the snapshot that the record names. Whether its key was good is no question
 * any more: it was. What the router knew of its targets is taken from the record: which could not be used, which it left alone or asked last, and,
 * by their absence, those that could not hold what the call was bound to.
 */
export function decideAgain(tables: DecisionTables, recorded: RecordedCall): Denial | Plan {
  const plan = decide(tables, describeRecorded(recorded));
  return plan.kind === "denial" || recorded.candidates.length === 0 ? plan : putOffAgain(plan, recorded.candidates);
}

function putOffAgain(plan: Plan, recorded: readonly Candidate[]): Plan {
  const results = new Map(recorded.map(({ target, result }) => [target, result]));
  const candidates = plan.candidates.filter(({ target }) => results.has(target.id));
  return putOff({ ...plan, candidates }, ({ target }): Turn => {
    const result = results.get(target.id);
    if (result?.case === "rejected" && isReason(result.value)) return result.value;
    return result?.case === "score" && result.value.deferred ? "last" : "in place";
  });
}

/** Describes a recorded call as it was before the router looked at how its targets stand. */
export function describeRecorded(
  recorded: RecordedCall,
): DescribedCall & Required<Pick<DescribedCall, "asked" | "hasTools">> {
  const { eventId, caller, model, operation, streamed, facts, arrivedAtMs, candidates } = recorded;
  const { organisation, team, app, environment, identity } = caller;
  const labels = Object.fromEntries((facts?.labels ?? []).map(({ name, value }) => [name, value]));
  const rejections = new Map<string, Reason>();
  for (const { target, result, rule } of candidates) {
    // What a rule has excluded, rules exclude again.
    if (result.case !== "rejected" || rule !== "" || SEEN_BY_ROUTER.has(result.value)) continue;
    if (isReason(result.value)) rejections.set(target, result.value);
  }
  return {
    grant: create(KeyGrantSchema, {
      keyId: identity.case === "keyId" ? identity.value : "",
      organisation,
      team,
      app,
      environment,
      labels,
      models: ["*"],
    }),
    model,
    eventId,
    nowMs: arrivedAtMs,
    asked: {
      operation,
      streamed,
      maxOutputTokens: facts?.maxOutputTokens,
      requestBytes: Number(facts?.inputBytes ?? 0n),
      arrivedAtMs,
    },
    hasTools: facts?.hasTools ?? false,
    findRejection: ({ id }) => rejections.get(id),
  };
}
