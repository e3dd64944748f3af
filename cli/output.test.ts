import { describe, expect, it, onTestFinished, vi } from "vitest";
import { WeirError } from "../services/shared/errors/weir-error.ts";
import { escapeControl, formatCost, formatTable, printFailure, printJson } from "./output.ts";

describe("formatTable()", () => {
  it("makes columns as wide as their widest cell, with numbers to the right", () => {
    const table = formatTable(
      ["team", "calls"],
      [
        ["search", "7"],
        ["a", "1234567"],
      ],
    );

    expect(table.split("\n")).toEqual(["team    calls", "------  -------", "search        7", "a       1234567"]);
  });

  it("lets no cell move the cursor", () => {
    expect(formatTable(["name"], [["a\u001b[2Jb"]])).toBe("name\n-----------\na\\u001b[2Jb");
  });

  it("takes more rows than a call takes arguments", () => {
    const rows = Array.from({ length: 200_000 }, () => ["a key"]);

    expect(formatTable(["key"], rows)).toHaveLength(200_002 * "a key\n".length - 3);
  });

  it("is a header alone when there is nothing", () => {
    expect(formatTable(["team"], [])).toBe("team\n----");
  });
});

describe("formatCost()", () => {
  it("shows every digit of a nano-dollar", () => {
    expect(formatCost(1n)).toBe("$0.000000001");
  });
});

describe("escapeControl()", () => {
  it("leaves nothing that moves a cursor or turns text, and all else", () => {
    expect(escapeControl("Zürich \u001b[2J\n\u202Ex 漢字")).toBe("Zürich \\u001b[2J\\u000a\\u202ex 漢字");
  });
});

describe("printJson()", () => {
  it("lets no text in it move the cursor, and reads as what it was", () => {
    const printed = vi.spyOn(console, "log").mockImplementation(() => undefined);
    onTestFinished(() => printed.mockRestore());
    const record = { model: "\u009b2J\u202Ex\n" };

    printJson(record);

    const [text] = printed.mock.calls.flat() as [string];
    expect(text).toBe('{\n  "model": "\\u009b2J\\u202ex\\n"\n}');
    expect(JSON.parse(text)).toEqual(record);
  });
});

describe("printFailure()", () => {
  it("prints line by line what failed and each field at fault, and lets neither move the cursor", () => {
    const printed = vi.spyOn(console, "error").mockImplementation(() => undefined);
    onTestFinished(() => printed.mockRestore());
    const violations = [{ field: "name", description: 'has "\u001b[2J"' }];

    printFailure("text", new WeirError("ARGUMENT_INVALID", "Cannot do it.\n  Since then: \u001b[1A", { violations }));
    printFailure("text", new Error('Cannot read "\u009b2J"'));

    expect(printed.mock.calls.flat()).toEqual([
      "Cannot do it.\n  Since then: \\u001b[1A",
      '  name: has "\\u001b[2J"',
      'Cannot read "\\u009b2J"',
    ]);
  });

  it("lets nothing in its JSON move the cursor", () => {
    const printed = vi.spyOn(console, "error").mockImplementation(() => undefined);
    onTestFinished(() => printed.mockRestore());

    printFailure("json", new Error('Cannot read "\u009b2J"'));

    expect(JSON.parse(printed.mock.calls.flat()[0] as string)).toMatchObject({
      error: { message: 'Cannot read "\u009b2J"' },
    });
    expect(printed.mock.calls.flat()[0]).not.toContain("\u009b");
  });
});
