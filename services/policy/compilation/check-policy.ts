import { fromBinary } from "@bufbuild/protobuf";
import type { Finding, Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { indexSnapshot } from "../../shared/decision/tables.ts";
import { tryDecisions } from "../../shared/decision/try-decisions.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { getValidator } from "../../shared/validation/validator.ts";
import { checkFields } from "./check-fields.ts";
import { checkIds } from "./check-ids.ts";
import { checkLimits } from "./check-limits.ts";
import { checkReach } from "./check-reach.ts";
import { checkReferences } from "./check-references.ts";
import { checkRollout } from "./check-rollout.ts";
import { checkRules } from "./check-rules.ts";
import { checkValues } from "./check-values.ts";
import { compileSnapshot, SNAPSHOT_LIMIT_BYTES } from "./compile.ts";
import { createFindings, type Findings } from "./finding.ts";

/**
 * Says all that is wrong with a policy at once, errors first. An empty list, or one of warnings only, means that every region
 * gets a snapshot that its routers can run: it is compiled and read here with the code that they run.
 */
export function checkPolicy(policy: Policy): Finding[] {
  const findings = createFindings();
  checkFields(policy, findings.error);
  checkIds(policy, findings.error);
  checkReferences(policy, findings.error);
  checkValues(policy, findings);
  checkReach(policy, findings);
  checkLimits(policy, findings);
  checkRollout(policy, findings);
  checkRules(policy, findings);
  if (!findings.hasError()) {
    for (const index of policy.regions.keys()) checkSnapshot(policy, index, findings);
  }
  return findings.list();
}

// The last gate: the rules above should have said it better, so what is found here is also a gap in them.
function checkSnapshot(policy: Policy, index: number, { error }: Findings): void {
  const region = policy.regions[index]?.id as string;
  const field = `regions[${index}]`;
  try {
    const { content } = compileSnapshot(policy, { region, version: 1n, policyVersion: 1n });
    if (content.length > SNAPSHOT_LIMIT_BYTES) {
      const message = `Its snapshot would have ${content.length} bytes, more than ${SNAPSHOT_LIMIT_BYTES}`;
      error(field, "SNAPSHOT_TOO_LARGE", message);
      return;
    }
    const snapshot = fromBinary(SnapshotSchema, content);
    const result = getValidator().validate(SnapshotSchema, snapshot);
    if (result.kind === "error") throw result.error;
    if (result.kind === "invalid")
      error(field, "SNAPSHOT_REFUSED", `Its snapshot is not valid: ${result.error.message}`);
    const trial = tryDecisions(indexSnapshot(snapshot), [], { workedMs: () => 0 });
    let step = trial.next();
    while (!step.done) step = trial.next();
    if (step.value !== undefined) error(field, "SNAPSHOT_REFUSED", `Its snapshot can't be decided by: ${step.value}`);
  } catch (cause) {
    if (!(cause instanceof WeirError)) throw cause;
    error(field, "SNAPSHOT_REFUSED", cause.message);
  }
}
