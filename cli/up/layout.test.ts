import { describe, expect, it } from "vitest";
import { createPorts, getRouterAdminPort, MAX_ROUTERS, REGIONS } from "./layout.ts";

describe("the ports of a mesh", () => {
  it("are all different and at most 40 above the first one, with as many routers as there can be", () => {
    const ports = createPorts(7400);

    const more = REGIONS.flatMap((region) =>
      Array.from({ length: MAX_ROUTERS - 1 }, (_, index) => getRouterAdminPort(ports, region, index + 2)),
    );

    const all = [...Object.values(ports), ...more];
    expect(new Set(all).size).toBe(all.length);
    expect([Math.min(...all), Math.max(...all)]).toEqual([7400, 7440]);
  });

  it("keep the first router of a region where the only one is", () => {
    const ports = createPorts(7400);
    expect([1, 2, 8].map((number) => getRouterAdminPort(ports, "us", number))).toEqual([7421, 7423, 7429]);
  });
});
