import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { findGrantDenial, tenantsOf } from "./check-grant.ts";

const grant = create(KeyGrantSchema, { keyId: "abcdefghij27", organisation: "acme", team: "web", app: "search" });

describe("findGrantDenial()", () => {
  it("finds nothing against a living key", () => {
    expect(findGrantDenial(grant, 0, () => false)).toBeUndefined();
  });

  it.each(["acme", "acme/web", "acme/web/search"])("denies a key below the disabled tenant %s", (tenant) => {
    expect(findGrantDenial(grant, 0, (path) => path === tenant)).toMatchObject({
      reason: "TENANT_DISABLED",
      facts: { tenant },
    });
  });
});

describe("tenantsOf()", () => {
  it("names the tenants above a key from the top", () => {
    expect(tenantsOf(grant)).toEqual(["acme", "acme/web", "acme/web/search"]);
  });
});
