import { describe, expect, it } from "vitest";
import { isListed } from "./header-list.ts";

describe("isListed()", () => {
  it("finds a header by its name or by how it begins", () => {
    const list = { names: ["openai-beta"], prefixes: ["anthropic-"] };

    expect(
      ["openai-beta", "anthropic-version", "openai-beta-2", "x-anthropic-a"].map((name) => isListed(name, list)),
    ).toEqual([true, true, false, false]);
  });

  it.each([
    ["authorization"],
    ["x-api-key"],
    ["x-goog-api-key"],
    ["x-amz-security-token"],
    ["cookie"],
    ["set-cookie"],
    ["host"],
    ["content-length"],
    ["transfer-encoding"],
    ["connection"],
    ["x-forwarded-for"],
    ["x-weir-reason"],
    ["x-request-id"],
  ])("lets %s pass by no list", (name) => {
    expect(isListed(name, { names: [name], prefixes: [""] })).toBe(false);
  });
});
