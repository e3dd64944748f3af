import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema, ToolScopeSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { findToolDenial } from "./check-tools.ts";

const grant = create(KeyGrantSchema, { keyId: "abcdefghij27" });
const find = (names: string[], offered: string[]) =>
  findToolDenial(grant, create(ToolScopeSchema, { names }), offered)?.facts.tool;

describe("findToolDenial()", () => {
  it("names the first tool that the key may not offer", () => {
    expect(find(["search"], ["search", "shell", "mail"])).toBe("shell");
  });

  it("finds nothing against tools that are all allowed, nor against none", () => {
    expect(find(["search", "mail"], ["mail", "search", "mail"])).toBeUndefined();
    expect(find([], [])).toBeUndefined();
  });

  it("allows no tool when the scope is empty, and none without a name", () => {
    expect(find([], ["search"])).toBe("search");
    expect(find(["search"], [""])).toBe("");
  });
});
