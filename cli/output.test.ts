import { describe, expect, it } from "vitest";
import { escapeControl, formatCost, formatTable } from "./output.ts";

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
