import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Snapshot, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import { checkPolicy } from "./check-policy.ts";
import { compileSnapshot } from "./compile.ts";
import { hasError } from "./finding.ts";
import { samplePolicy } from "./policy.fixture.ts";

function compile(region: string, policy = samplePolicy()): Snapshot {
  return fromBinary(SnapshotSchema, compileSnapshot(policy, { region, version: 4n, policyVersion: 3n }).content);
}

describe("compileSnapshot()", () => {
  it("mentions nothing outside the region's residency", () => {
    const us = compile("us");

    expect(us.providers.map(({ id }) => id)).toEqual(["global"]);
    expect(us.targets.map(({ id }) => id)).toEqual(["global/large"]);
    expect(us.models).toMatchObject([
      { id: "any", routes: [{ target: "global/large", priority: 1, weight: 1 }] },
      { id: "large", routes: [{ target: "global/large" }] },
    ]);
    expect(JSON.stringify(us, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      "local",
    );
  });

  it("leaves out a model that the region cannot serve", () => {
    const policy = samplePolicy((json) => (json.providers[0]!.regions = ["eu"]));

    expect(compile("us", policy).models).toEqual([]);
  });

  it("makes integers of prices and prices every meter once", () => {
    const [global, local] = compile("eu").targets;

    expect(global?.prices.map(({ meter, nanosPerMillion }) => [meter, nanosPerMillion])).toEqual([
      [Meter.INPUT_TOKENS, 2_500_000_000n],
      [Meter.CACHED_INPUT_TOKENS, 2_500_000_000n],
      [Meter.CACHE_WRITE_TOKENS, 2_500_000_000n],
      [Meter.OUTPUT_TOKENS, 10_000_000_000n],
      [Meter.REASONING_TOKENS, 10_000_000_000n],
    ]);
    expect(local?.prices.map(({ nanosPerMillion }) => nanosPerMillion)).toEqual([0n, 0n, 0n, 0n, 500_000_000n]);
  });

  it("fills in every default", () => {
    const snapshot = compile("eu");

    expect(snapshot).toMatchObject({ region: "eu", version: 4n, policyVersion: 3n, organisation: "acme" });
    expect(snapshot.targets[0]?.maxOutputTokens).toBe(128_000n);
    expect(snapshot.providers[0]).toMatchObject({
      baseUrl: "https://api.example.com/v1",
      connectTimeout: { seconds: 5n },
      firstTokenTimeout: { seconds: 60n },
      idleTimeout: { seconds: 60n },
      totalTimeout: { seconds: 600n },
    });
  });

  it("takes a provider's own timeout before the policy's", () => {
    const policy = samplePolicy((json) => {
      Object.assign(json, { timeouts: { connect: "2s", idle: "30s" } });
      Object.assign(json.providers[0]!, { timeouts: { connect: "1s" } });
    });

    expect(compile("us", policy).providers[0]).toMatchObject({
      connectTimeout: { seconds: 1n },
      idleTimeout: { seconds: 30n },
    });
  });

  it("gives the same bytes for the same policy, and their digest", () => {
    const options = { region: "eu", version: 1n, policyVersion: 1n };
    const first = compileSnapshot(samplePolicy(), options);
    const second = compileSnapshot(samplePolicy(), options);

    expect(second.content).toEqual(first.content);
    expect(first.digest).toEqual(snapshotDigest(first.content));
  });

  it("leads nowhere outside the region, whatever the residency of the providers", () => {
    const regions = fc.subarray(["eu", "us"], { minLength: 1 });
    fc.assert(
      fc.property(regions, regions, fc.constantFrom("eu", "us"), (first, second, region) => {
        const policy = samplePolicy((json) => {
          json.providers[0]!.regions = first;
          json.providers[1]!.regions = second;
          // A fallback for callers of another region would be an error.
          json.models[1]!.routes = [{ target: "local/small" }, { target: "global/large" }];
        });
        expect(hasError(checkPolicy(policy))).toBe(false);
        const snapshot = compile(region, policy);
        const targets = new Set(snapshot.targets.map(({ id }) => id));
        for (const { id } of snapshot.providers) {
          expect(policy.providers.find((provider) => provider.id === id)?.regions).toContain(region);
        }
        for (const { routes } of snapshot.models) for (const { target } of routes) expect(targets).toContain(target);
      }),
    );
  });
});
