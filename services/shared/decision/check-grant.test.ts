import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { findGrantDenial, tenantsOf } from "./check-grant.ts";

const grant = create(KeyGrantSchema, { keyId: "abcdefghij27", organisation: "acme", team: "web", app: "search" });

describe("findGrantDenial()", () => {
  it("finds nothing against a living key", () => {
    expect(findGrantDenial(grant, "eu", 0, () => false)).toBeUndefined();
  });

  it.each(["acme", "acme/web", "acme/web/search"])("denies a key below the disabled tenant %s", (tenant) => {
    expect(findGrantDenial(grant, "eu", 0, (path) => path === tenant)).toMatchObject({
      reason: "TENANT_DISABLED",
      facts: { tenant },
    });
  });
});

describe("findGrantDenial(), of a key with a condition", () => {
  const second = { seconds: 1n };
  it.each([
    ["KEY_REVOKED", { revokedAt: second, disabledAt: second }],
    ["KEY_EXPIRED", { expiresAt: second, disabledAt: second }],
    ["KEY_DISABLED", { disabledAt: second }],
    ["KEY_REGION_NOT_ALLOWED", { regions: ["us"] }],
    [undefined, { regions: ["us", "eu"] }],
    [undefined, { expiresAt: { seconds: 1n, nanos: 1 } }],
  ])("says %s", (reason, changes) => {
    const { keyId, organisation, team, app } = grant;
    const changed = create(KeyGrantSchema, { keyId, organisation, team, app, ...changes });

    expect(findGrantDenial(changed, "eu", 1_000)?.reason).toBe(reason);
  });
});

describe("tenantsOf()", () => {
  it("names the tenants above a key from the top", () => {
    expect(tenantsOf(grant)).toEqual(["acme", "acme/web", "acme/web/search"]);
  });
});
