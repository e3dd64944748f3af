import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { PinnedPolicy } from "../../shared/snapshot/hold.ts";
import { checkTools } from "./check-tools.ts";

/** A policy whose rules, if it has any for the key, ask for tools or not. */
const policy = (asksForTools?: boolean) =>
  ({
    tables: { hasRules: asksForTools !== undefined, getGrantFacts: () => ({ rules: { asksForTools } }) },
  }) as unknown as PinnedPolicy;
const grant = (names?: string[]) =>
  create(KeyGrantSchema, { keyId: "abcdefghij27", ...(names && { tools: { names } }) });
const unread = () => {
  throw new Error("Cannot read tools: nothing depends on them");
};

/** The tool for which a key that may offer these is denied. */
function findDenied(names: string[], offered: string[]): string | undefined {
  const checked = checkTools(policy(), grant(names), () => offered);
  return typeof checked === "object" ? checked.facts.tool : undefined;
}

describe("checkTools()", () => {
  it("names the first tool that the key may not offer", () => {
    expect(findDenied(["search"], ["search", "shell", "mail"])).toBe("shell");
  });

  it("denies nothing for tools that are all allowed, nor for none", () => {
    expect(checkTools(policy(), grant(["search", "mail"]), () => ["mail", "search", "mail"])).toBe(true);
    expect(checkTools(policy(), grant([]), () => [])).toBe(false);
  });

  it("allows no tool when the scope is empty, and none without a name", () => {
    expect(findDenied([], ["search"])).toBe("search");
    expect(findDenied(["search"], [""])).toBe("");
  });

  it("repeats no more than 128 characters of a tool's name", () => {
    expect(findDenied([], ["x".repeat(128)])).toBe("x".repeat(128));
    expect(findDenied([], ["x".repeat(129)])).toBe(`${"x".repeat(128)}…`);
  });

  it("reads the tools of a key without a scope only where a rule asks for them", () => {
    expect(checkTools(policy(true), grant(), () => ["shell"])).toBe(true);
    expect(checkTools(policy(false), grant(), unread)).toBe(false);
    expect(checkTools(policy(), grant(), unread)).toBe(false);
  });
});
