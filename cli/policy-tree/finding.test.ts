import { describe, expect, it } from "vitest";
import { Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import { FindingList, formatFindings, type LocatedFinding, toFindingsJson } from "./finding.ts";

const finding: LocatedFinding = {
  file: "eu/models.yaml",
  line: 12,
  column: 9,
  field: "models[2].routes[0].target",
  rule: "TARGET_UNKNOWN",
  message: 'There is no target "x" in this policy',
  severity: Severity.ERROR,
};

describe("formatFindings()", () => {
  it("says place, weight, field, rule and message on a line, and how many there are", () => {
    const whole = { file: "a.yaml", field: "", rule: "R", message: "Much", severity: Severity.WARNING } as const;

    expect(formatFindings([finding, whole]).split("\n")).toEqual([
      'eu/models.yaml:12:9  error  models[2].routes[0].target  TARGET_UNKNOWN  There is no target "x" in this policy',
      "a.yaml  warning  R  Much",
      "1 error, 1 warning",
    ]);
  });

  it("lets nothing in a policy move the cursor of a terminal", () => {
    const text = formatFindings([{ ...finding, message: "\u001b[2Jgone\n\u202Efdp" }]);

    expect(text).toContain("\\u001b[2Jgone\\u000a\\u202efdp");
    expect(text).not.toContain("\u202E");
  });
});

describe("toFindingsJson()", () => {
  it("gives programs the same", () => {
    expect(toFindingsJson([finding])).toEqual([{ ...finding, severity: "SEVERITY_ERROR" }]);
  });
});

describe("FindingList", () => {
  it("keeps a thousand and says how many more there are", () => {
    const list = new FindingList();
    for (let line = 1; line <= 1_500; line++) list.report({ file: "a.yaml", line, column: 1 }, "", "R", "m");

    const findings = list.list("policy");

    expect(findings).toHaveLength(1_001);
    expect(findings.at(-1)).toMatchObject({ file: "policy", rule: "FINDINGS_CUT", message: /^500 more/ });
  });
});
