import { create } from "@bufbuild/protobuf";
import { type Candidate, CandidateSchema } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { Plan } from "./plan.ts";

/** A plan's targets as records and explanations show them: in the order of their trial, the rejected ones last. */
export function toCandidates(plan: Plan): Candidate[] {
  const ranked = plan.candidates.map(({ target, priority, weight, draw, isDeferred = false }) =>
    create(CandidateSchema, {
      target: target.id,
      result: { case: "score", value: { priority, weight, draw: BigInt(draw), deferred: isDeferred } },
    }),
  );
  const rejected = plan.rejected.map(({ target, reason, rule = "" }) =>
    create(CandidateSchema, { target: target.id, result: { case: "rejected", value: reason }, rule }),
  );
  return [...ranked, ...rejected];
}
