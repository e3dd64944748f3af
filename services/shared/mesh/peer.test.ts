import { describe, expect, it } from "vitest";
import { findSpiffeName } from "./peer.ts";

describe("findSpiffeName()", () => {
  const uri = "URI:spiffe://weir.test/region/eu/router/eu-1";

  it("reads the one URI among the names of a certificate", () => {
    expect(findSpiffeName(`DNS:localhost, ${uri}, IP Address:10.0.0.1`)).toMatchObject({
      trustDomain: "weir.test",
      service: { service: "router", region: "eu", instance: "eu-1" },
    });
    expect(findSpiffeName(`DNS:"a, b", ${uri}`)).toBeDefined();
  });

  it.each([
    ["no name at all", undefined],
    ["several URIs", `${uri}, URI:spiffe://weir.test/control/policy/policy-1`],
    // As Node writes a name with commas (https://nodejs.org/en/blog/vulnerability/jan-2022-security-releases, CVE-2021-44532).
    ["a URI within a name of another kind", `DNS:"x, ${uri}, y"`],
    ["a URI behind a quotation mark within such a name", `DNS:"x\\", ${uri}, y"`],
    ["a URI with commas", `URI:"spiffe://weir.test/region/eu/router/eu-1, x"`],
  ])("finds nothing in %s", (_, names) => {
    expect(findSpiffeName(names)).toBeUndefined();
  });
});
