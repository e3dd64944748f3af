import { create } from "@bufbuild/protobuf";
import { type Finding, FindingSchema, Severity } from "../../../gen/weir/policy/v1/policy_pb.ts";

/** Takes what a rule finds: the field's path, the rule in UPPER_SNAKE_CASE, and what is wrong and what to do. */
export type Report = (field: string, rule: string, message: string) => void;

/** Findings as they are gathered. */
export interface Findings {
  /** Reports what stops a publish. */
  readonly error: Report;
  /** Reports what deserves a second look and stops nothing. */
  readonly warn: Report;
  /** Whether an error was reported. */
  hasError(): boolean;
  /** All that was reported, errors first, then by field; beyond {@link FINDINGS_LIMIT} a last one says how many more there are. */
  list(): Finding[];
}

/** Most findings that are listed: more than anyone mends at once, and little enough for an answer. */
const FINDINGS_LIMIT = 1_000;

/** Makes an empty list of findings. The same finding reported twice is listed once. */
export function createFindings(): Findings {
  const found = new Map<string, Finding>();
  const reportAs =
    (severity: Severity): Report =>
    (field, rule, message) => {
      found.set(`${severity} ${field} ${rule} ${message}`, create(FindingSchema, { field, rule, message, severity }));
    };
  return {
    error: reportAs(Severity.ERROR),
    warn: reportAs(Severity.WARNING),
    hasError: () => hasError([...found.values()]),
    list: () => cut([...found.values()].sort(compare)),
  };
}

/** Whether a finding stops a publish. */
export function hasError(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity === Severity.ERROR);
}

function cut(findings: Finding[]): Finding[] {
  const rest = findings.length - FINDINGS_LIMIT;
  if (rest <= 0) return findings;
  const message = `${rest} more findings are not listed; mend these first`;
  const severity = findings[FINDINGS_LIMIT]?.severity ?? Severity.ERROR;
  return [...findings.slice(0, FINDINGS_LIMIT), create(FindingSchema, { rule: "FINDINGS_CUT", message, severity })];
}

const order = new Intl.Collator("en", { numeric: true });

// Numeric, so that models[2] stands before models[10].
function compare(a: Finding, b: Finding): number {
  return a.severity - b.severity || order.compare(a.field, b.field) || order.compare(a.rule, b.rule);
}
