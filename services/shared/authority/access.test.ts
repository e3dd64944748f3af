import { describe, expect, it } from "vitest";
import { Reach } from "../../../gen/weir/type/v1/scope_pb.ts";
import { Access, type Touched } from "./access.ts";
import type { Grant, Identity, Service } from "./identity.ts";
import type { MethodRule, RequestScope } from "./method-rule.ts";
import type { Holders } from "./roles.ts";

const NOTHING: RequestScope = {
  organisation: undefined,
  environment: undefined,
  region: undefined,
  instance: undefined,
};

function access(identity: Identity, holders: Holders, reach: Reach = Reach.UNSPECIFIED): Access {
  const rule: MethodRule = {
    method: "weir.test.v1.Test/Do",
    permission: "TEST",
    holders,
    reach,
    readScope: () => NOTHING,
  };
  return new Access(identity, rule);
}

/** An operator who is a publisher there. */
function operator(organisation: string, environment = "", reach?: Reach): Access {
  const grants: Grant[] = [{ role: "PUBLISHER", organisation, environment }];
  return access({ kind: "operator", issuer: "https://i", subject: "alice", grants }, { roles: ["PUBLISHER"] }, reach);
}

const service = (changes: Partial<Service> = {}) =>
  access({ kind: "service", service: "router", region: "eu", instance: "eu-1", ...changes }, { services: ["router"] });

const denied = expect.objectContaining({ reason: "PERMISSION_DENIED" });

describe("an operator's role", () => {
  const MESH: Touched = {};
  const ACME: Touched = { organisation: "acme" };
  const PRODUCTION: Touched = { organisation: "acme", environment: "production" };
  const OTHER: Touched = { organisation: "other", environment: "production" };

  it.each([
    ["in the whole mesh", operator("*"), [MESH, ACME, PRODUCTION, OTHER]],
    ["in an organisation", operator("acme"), [ACME, PRODUCTION]],
    ["in one environment", operator("acme", "production"), [PRODUCTION]],
    ["in another environment", operator("acme", "staging"), []],
  ])("%s holds there and nowhere else", (_, of, places) => {
    expect([MESH, ACME, PRODUCTION, OTHER].filter((place) => of.allows(place))).toEqual(places);
  });

  it("lets its holder name an object in an organisation that the role reaches into, and in no other", () => {
    const of = operator("acme", "production", Reach.OBJECT);

    expect(() => of.requireRequest({ ...NOTHING, organisation: "acme" })).not.toThrow();
    expect(() => of.requireRequest({ ...NOTHING, organisation: "other" })).toThrow(denied);
  });
});

describe("a service", () => {
  it("speaks for itself, in its own region", () => {
    expect(() => service().requireRequest({ ...NOTHING, region: "eu", instance: "eu-1" })).not.toThrow();
    expect(() => service().requireRequest({ ...NOTHING, region: "eu" })).not.toThrow();
  });

  it.each([
    ["another region", { region: "us", instance: "eu-1" }],
    ["another instance", { region: "eu", instance: "eu-2" }],
    ["nobody in particular", {}],
  ])("does not speak for %s", (_, scope) => {
    expect(() => service().requireRequest({ ...NOTHING, ...scope })).toThrow(denied);
  });

  it("of the control plane speaks for all instances of its kind, which are one producer", () => {
    const policy = service({ service: "policy", region: "control", instance: "policy-2" });

    expect(() => policy.requireRequest({ ...NOTHING, region: "control", instance: "policy" })).not.toThrow();
    expect(() => policy.requireRequest({ ...NOTHING, region: "control", instance: "policy-2" })).toThrow(denied);
  });
});

describe("a process of this machine", () => {
  const NEIGHBOUR: Identity = { kind: "neighbour" };

  it("holds what services hold, and nothing of operators", () => {
    expect(access(NEIGHBOUR, { services: ["router"] }).isHeld).toBe(true);
    expect(access(NEIGHBOUR, { roles: ["PUBLISHER"] }).isHeld).toBe(false);
  });
});
