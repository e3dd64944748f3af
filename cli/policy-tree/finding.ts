import { Severity, SeveritySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import { escapeControl } from "../output.ts";
import { formatPlace, type Place } from "./place.ts";

/** Something wrong with a policy, or worth a second look, with the place in its files. */
export interface LocatedFinding extends Place {
  /** Path of the field in the policy that the files make together, such as "models[2].routes[0].target". Empty for a whole file. */
  readonly field: string;
  /** What kind of finding, as UPPER_SNAKE_CASE. Stable. */
  readonly rule: string;
  /** What is wrong and what to do. */
  readonly message: string;
  readonly severity: Severity;
}

/** Takes what is wrong: where, the field's path, the rule, and what is wrong and what to do. */
export type Report = (place: Place, field: string, rule: string, message: string) => void;

/** Most findings that are kept: more than anyone mends at once. */
const FINDINGS_LIMIT = 1_000;

/** Errors as they are gathered while files are read. Beyond 1,000 they are counted only. */
export class FindingList {
  readonly #findings: LocatedFinding[] = [];
  #omitted = 0;

  readonly report: Report = (place, field, rule, message) => {
    if (this.#findings.length === FINDINGS_LIMIT) this.#omitted += 1;
    else this.#findings.push({ ...place, field, rule, message, severity: Severity.ERROR });
  };

  /** All that was reported; when some had no room, a last one says how many. `file` is where that one stands. */
  list(file: string): LocatedFinding[] {
    if (this.#omitted === 0) return [...this.#findings];
    const message = `${this.#omitted} more findings are not listed; mend these first`;
    return [...this.#findings, { file, field: "", rule: "FINDINGS_CUT", message, severity: Severity.ERROR }];
  }
}

/** Whether a finding stops a publish. */
export function hasError(findings: readonly LocatedFinding[]): boolean {
  return findings.some(({ severity }) => severity === Severity.ERROR);
}

/** Findings as lines for people: place, weight, field, rule, message; then how many there are. */
export function formatFindings(findings: readonly LocatedFinding[]): string {
  const errors = findings.filter(({ severity }) => severity === Severity.ERROR).length;
  const lines = findings.map((finding) =>
    [
      formatPlace(finding),
      finding.severity === Severity.ERROR ? "error" : "warning",
      ...(finding.field === "" ? [] : [finding.field]),
      finding.rule,
      finding.message,
    ]
      .map(escapeControl)
      .join("  "),
  );
  return [...lines, `${count(errors, "error")}, ${count(findings.length - errors, "warning")}`].join("\n");
}

/** Findings as JSON for programs. A finding about a whole file has no line and column. */
export function toFindingsJson(findings: readonly LocatedFinding[]): object[] {
  return findings.map(({ file, line, column, field, rule, message, severity }) => ({
    ...{ file, line, column, field, rule, message },
    severity: SeveritySchema.value[severity]?.name,
  }));
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
