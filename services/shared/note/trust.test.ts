import { describe, expect, it } from "vitest";
import { generateNoteKey } from "./key.ts";
import { parseTrust } from "./trust.ts";

describe("parseTrust()", () => {
  it("reads one key a line and skips comments and blank lines", () => {
    const eu = generateNoteKey("weir.local/audit/eu").verifierKey;
    const us = generateNoteKey("weir.local/audit/us").verifierKey;
    const trust = parseTrust(`# regions\n\n${eu}\r\n  ${us}\n`);
    expect(trust.map((key) => key.encoded)).toEqual([eu, us]);
  });

  it("names the line that holds no key", () => {
    const key = generateNoteKey("weir.local/audit/eu").verifierKey;
    expect(() => parseTrust(`${key}\nnonsense\n`)).toThrow(/line 2/);
  });

  it("refuses a file without any key", () => {
    expect(() => parseTrust("# none\n")).toThrow(expect.objectContaining({ reason: "SETTING_INVALID" }));
  });
});
