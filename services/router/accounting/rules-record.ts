import type { CallRecord } from "../../../gen/weir/audit/v1/record_pb.ts";
import { type MatchedRule, PriorityClass } from "../../../gen/weir/type/v1/decision_pb.ts";
import { getLabelsBytes, getMatchedRuleBytes } from "./encoded-parts.ts";
import type { StartedCall, StartedRules } from "./started-call.ts";
import type { WireWriter } from "./wire-writer.ts";

/** Rules named in a record: a record has 60,000 bytes at most, and a call that more of them bore on is told by these. */
export const RULES_NAMED = 128;

/** Writes the last field of a CallRecord, 14: the rules that bore on a call, and what it was asked with. Nothing under a policy without rules. */
export function writeRules(writer: WireWriter, { rules }: StartedCall): void {
  if (rules === undefined) return;
  const { matched, askedOutputTokens, inputBytes, hasTools, labels, priorityClass } = rules;
  const named = Math.min(matched.length, RULES_NAMED);
  const ruling = writer.open(14);
  for (let index = 0; index < named; index++) writer.message(1, getMatchedRuleBytes(matched[index] as MatchedRule));
  const facts = writer.open(2);
  if (askedOutputTokens !== undefined) writer.int(1, askedOutputTokens);
  writer.int(2, inputBytes);
  writer.bool(3, hasTools);
  writer.raw(getLabelsBytes(labels));
  writer.close(facts);
  writer.int(3, priorityClass ?? PriorityClass.UNSPECIFIED);
  writer.close(ruling);
}

/** Reads again what {@link writeRules} wrote. */
export function readRules({ ruling }: CallRecord): StartedRules | undefined {
  if (ruling?.facts === undefined) return undefined;
  const { matched, facts, priorityClass } = ruling;
  const { maxOutputTokens, inputBytes, hasTools, labels } = facts;
  return {
    matched,
    // 0 is what a caller who did not say is written as.
    askedOutputTokens: maxOutputTokens === 0n ? undefined : maxOutputTokens,
    inputBytes: Number(inputBytes),
    hasTools,
    labels: Object.fromEntries(labels.map(({ name, value }) => [name, value])),
    priorityClass: priorityClass === PriorityClass.UNSPECIFIED ? undefined : priorityClass,
  };
}
