import { create } from "@bufbuild/protobuf";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { CallFacts, Candidate } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { isReason, type Reason } from "../errors/reason.ts";
import type { DescribedCall } from "./decide.ts";

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

/**
 * Describes a recorded call, so that `decide` decides it again as it was decided, under the snapshot that the record names. Whether its key was good is
 * no question any more: it was. What the router knew of its targets is taken from the record; that some were put off for a while, after which they
 * were tried last, is not.
 */
export function describeRecorded(
  recorded: RecordedCall,
): DescribedCall & Required<Pick<DescribedCall, "asked" | "hasTools">> {
  const { eventId, caller, model, operation, streamed, facts, arrivedAtMs, candidates } = recorded;
  const { organisation, team, app, environment, identity } = caller;
  const labels = Object.fromEntries((facts?.labels ?? []).map(({ name, value }) => [name, value]));
  const rejections = new Map<string, Reason>();
  for (const { target, result, rule } of candidates) {
    // What a rule has excluded, rules exclude again.
    if (result.case === "rejected" && rule === "" && isReason(result.value)) rejections.set(target, result.value);
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
