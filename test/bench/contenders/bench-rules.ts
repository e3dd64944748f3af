import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SnapshotRuleSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { PriorityClass } from "../../../gen/weir/type/v1/decision_pb.ts";

type RuleInit = MessageInitShape<typeof SnapshotRuleSchema>;

/**
 * So many rules as an organisation might have them, of which few match the bench's callers: the first one does; of each hundred one must be asked about
 * each call; the others fall away with the region, the key or the model.
 */
export function createRules(count: number): RuleInit[] {
  return Array.from({ length: count }, (_, index): RuleInit => {
    const id = `rule-${index}`;
    const deny = { case: "deny", value: "Not for this team" } as const;
    if (index === 0) return { id, effect: { case: "priorityClass", value: PriorityClass.STANDARD } };
    if (index % 100 === 1) return { id, when: `call.input_bytes > ${50_000_000 + index}`, effect: deny };
    switch (index % 4) {
      case 0:
        return { id, tenants: [{ team: `team-${index}` }], when: "call.streamed", effect: deny };
      case 1:
        return { id, when: `caller.team == "team-${index}" && call.max_output_tokens > 4000`, effect: deny };
      case 2:
        return { id, when: `caller.labels.tier in ["t${index}", "u${index}"] && call.has_tools`, effect: deny };
      default:
        return {
          id,
          when: `call.model.startsWith("vendor-${index}/")`,
          effect: { case: "capOutputTokens", value: 500n },
        };
    }
  });
}
