import { create, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { type Rollout, RolloutSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ReleaseState, ReleaseWaveSchema } from "../../../gen/weir/policy/v1/release_pb.ts";
import { chooseRouters } from "./choose-routers.ts";
import { type AdmittedRouter, type GateFacts, judgeGates, toGateLimits } from "./gates.ts";
import { findNextStep, type ReleasePosition } from "./next-step.ts";
import { planWaves } from "./waves.ts";

const rollout = (json: JsonObject): Rollout => fromJson(RolloutSchema, json);
const limits = toGateLimits(undefined);
const quiet = { calls: 0, failures: 0, denials: 0, overhead: [] };

function router(changes: Partial<AdmittedRouter> = {}): AdmittedRouter {
  const healthy = { isNamed: true, isConnected: true, hasApplied: true, refusal: undefined, crashes: 0 };
  return { name: "eu/eu-1", ...healthy, ...changes };
}

function facts(changes: Partial<GateFacts> = {}): GateFacts {
  return { routers: [router()], rollingMs: 0, newTraffic: quiet, oldTraffic: quiet, ...changes };
}

describe("planWaves()", () => {
  const describeWaves = (...args: Parameters<typeof planWaves>) =>
    planWaves(...args).map(({ regions, routers, percent, bake }) => [
      regions.join(),
      routers || (percent ? `${percent}%` : "all"),
      Number(bake?.seconds),
    ]);

  it("begins by default with one router of the first region that has one, then that region, then the others", () => {
    expect(describeWaves(undefined, { staged: ["ap", "eu", "us"], live: ["us", "eu"] })).toEqual([
      ["eu", 1, 5],
      ["eu", "all", 10],
      ["ap,us", "all", 10],
    ]);
  });

  it("opens every region at the end, also those that no wave names", () => {
    const wanted = rollout({
      waves: [
        { regions: ["us"], percent: 10 },
        { regions: ["us"], bake: "60s" },
      ],
    });
    expect(describeWaves(wanted, { staged: ["eu", "us"], live: [] })).toEqual([
      ["us", "10%", 5],
      ["us", "all", 60],
      ["eu", "all", 10],
    ]);
  });

  it("takes a wave without regions for all that are not open yet, and leaves out regions that run nothing", () => {
    const wanted = rollout({ waves: [{ regions: ["eu", "new"] }, { routers: 2 }, {}] });
    expect(describeWaves(wanted, { staged: ["eu", "us"], live: [] })).toEqual([
      ["eu", "all", 10],
      ["us", 2, 5],
      ["us", "all", 10],
    ]);
  });

  it("begins with the first region where no router is connected", () => {
    expect(describeWaves(undefined, { staged: ["eu", "us"], live: [] })[0]).toEqual(["eu", 1, 5]);
  });

  it("leaves out a wave whose regions are all open", () => {
    const wanted = rollout({ waves: [{ regions: ["eu"] }, { regions: ["eu"], percent: 50 }] });
    expect(describeWaves(wanted, { staged: ["eu"], live: ["eu"] })).toEqual([["eu", "all", 10]]);
  });

  it("plans no wave where nothing runs", () => {
    expect(planWaves(undefined, { staged: [], live: [] })).toEqual([]);
  });
});

describe("chooseRouters()", () => {
  const routers = Array.from({ length: 40 }, (_, index) => ({ region: "eu", instance: `eu-${index}` }));
  const wave = (share: { routers?: number; percent?: number }) =>
    create(ReleaseWaveSchema, { regions: ["eu", "us"], ...share });

  it("chooses the same routers whoever asks, and others at another release", () => {
    const names = (id: string) => chooseRouters(id, wave({ routers: 3 }), routers).map(({ instance }) => instance);
    expect(names("a")).toEqual(names("a"));
    expect(names("a")).toHaveLength(3);
    expect(names("a")).not.toEqual(names("b"));
  });

  it("has a smaller share within a larger one", () => {
    const few = chooseRouters("a", wave({ percent: 5 }), routers);
    const many = chooseRouters("a", wave({ percent: 50 }), routers);
    expect(few).toHaveLength(2);
    expect(many).toEqual(expect.arrayContaining(few));
  });

  it("rounds a share up, so that it is never nobody", () => {
    expect(chooseRouters("a", wave({ percent: 1 }), routers.slice(0, 3))).toHaveLength(1);
    expect(chooseRouters("a", wave({}), routers.slice(0, 3))).toHaveLength(3);
  });
});

describe("judgeGates()", () => {
  it("opens when every router runs the version", () => {
    expect(judgeGates(limits, facts())).toEqual({ verdict: "open" });
  });

  it("fails at once by a refusal or a crash, also of a router that came later", () => {
    const refusal = ["TRIAL: it throws"];
    expect(judgeGates(limits, facts({ routers: [router({ hasApplied: false, refusal })] }))).toEqual({
      verdict: "failed",
      reasons: ["eu/eu-1 refused it: TRIAL: it throws"],
    });
    expect(judgeGates(limits, facts({ routers: [router({ isNamed: false, crashes: 1 })] }))).toEqual({
      verdict: "failed",
      reasons: ["It crashed eu/eu-1"],
    });
  });

  it("waits for who has not applied it or is gone, until the deadline", () => {
    for (const change of [{ hasApplied: false }, { isConnected: false }]) {
      const routers = [router(change)];
      expect(judgeGates(limits, facts({ routers, rollingMs: 9_999 })).verdict).toBe("waiting");
      expect(judgeGates(limits, facts({ routers, rollingMs: 10_000 })).verdict).toBe("failed");
    }
  });

  it("lets one in ten routers be gone for good, once it was waited for, but not be slow", () => {
    const rest = Array.from({ length: 9 }, (_, index) => router({ name: `eu/${index}` }));
    const judge = (last: Partial<AdmittedRouter>, rollingMs: number) =>
      judgeGates(limits, facts({ routers: [...rest, router(last)], rollingMs })).verdict;
    expect(judge({ isConnected: false }, 9_999)).toBe("waiting");
    expect(judge({ isConnected: false }, 10_000)).toBe("open");
    expect(judge({ hasApplied: false }, 10_000)).toBe("failed");
  });

  it.each([
    ["refuse it", { hasApplied: false, refusal: ["TRIAL"] }, 0],
    ["are slow", { hasApplied: false }, 10_000],
    ["are waited for", { hasApplied: false }, 0],
  ])("names sixteen routers at most that %s", (_, change, rollingMs) => {
    const routers = Array.from({ length: 20 }, () => router(change));
    expect(judgeGates(limits, facts({ routers, rollingMs }))).toHaveProperty("reasons.length", 16);
  });

  it("does not wait for a router that came later and has said nothing", () => {
    const routers = [router(), router({ isNamed: false, hasApplied: false })];
    expect(judgeGates(limits, facts({ routers, rollingMs: 60_000 })).verdict).toBe("open");
  });

  it.each([
    ["failures beyond what the others have and 5 % more", { calls: 100, failures: 12, denials: 0 }, "failed"],
    ["failures up to that", { calls: 100, failures: 11, denials: 0 }, "open"],
    ["denials beyond what the others have and 10 % more", { calls: 100, failures: 0, denials: 13 }, "failed"],
    ["denials up to that", { calls: 100, failures: 0, denials: 12 }, "open"],
    ["too few calls to say", { calls: 19, failures: 19, denials: 19 }, "open"],
    ["as few calls as say something", { calls: 20, failures: 20, denials: 0 }, "failed"],
  ])("%s", (_, newTraffic, verdict) => {
    const oldTraffic = { ...quiet, calls: 1_000, failures: 60, denials: 20 };
    expect(judgeGates(limits, facts({ newTraffic: { ...quiet, ...newTraffic }, oldTraffic })).verdict).toBe(verdict);
  });

  /** Calls by how long routers took for them: up to 2, 20, 25, 50 ms, and longer. */
  const taking = (...counts: number[]) => {
    const overhead = counts.map((calls, index) => {
      const atMostMs = [2, 20, 25, 50][index];
      return {
        calls: BigInt(calls),
        atMost: atMostMs === undefined ? undefined : create(DurationSchema, { nanos: atMostMs * 1e6 }),
      };
    });
    return { ...quiet, calls: counts.reduce((sum, count) => sum + count, 0), overhead };
  };
  it.each([
    ["more than 20 ms longer than the others for more than 5 of 100 calls", taking(94, 0, 0, 6), "failed"],
    ["longer than any bucket", taking(94, 0, 0, 0, 6), "failed"],
    ["longer for 5 of 100 calls", taking(95, 0, 0, 5), "open"],
    ["perhaps 20 ms longer, as far as buckets tell", taking(0, 0, 100), "open"],
    ["longer, with too few calls to say of the slowest", taking(0, 0, 0, 99), "open"],
  ])("its routers take %s", (_, newTraffic, verdict) => {
    expect(judgeGates(limits, facts({ newTraffic, oldTraffic: taking(1_000) })).verdict).toBe(verdict);
  });

  it("says how much longer its routers take, and lets the policy say how much that may be", () => {
    const slower = facts({ newTraffic: taking(0, 0, 0, 100), oldTraffic: taking(100) });
    expect(judgeGates(limits, slower)).toEqual({
      verdict: "failed",
      reasons: [
        "The slowest 5 of 100 calls take routers with it more than 25 ms of their own, the others at most 2 ms; at most 20 ms more may be",
      ],
    });
    const lenient = toGateLimits(rollout({ gates: { overheadP95: "0.023s" } }).gates);
    expect(judgeGates(lenient, slower).verdict).toBe("open");
  });

  it("compares no time of fewer calls than the policy wants to see", () => {
    const careful = toGateLimits(rollout({ gates: { minimumCalls: 500 } }).gates);
    const slower = facts({ newTraffic: taking(0, 0, 0, 499), oldTraffic: taking(1_000) });
    expect(judgeGates(careful, slower).verdict).toBe("open");
  });

  it("compares no time with routers that do not say theirs", () => {
    const oldTraffic = { ...quiet, calls: 1_000 };
    expect(judgeGates(limits, facts({ newTraffic: taking(0, 0, 0, 100), oldTraffic })).verdict).toBe("open");
  });

  it("compares nothing when the others had too few calls", () => {
    const newTraffic = { ...quiet, calls: 100, failures: 100 };
    expect(judgeGates(limits, facts({ newTraffic, oldTraffic: { ...quiet, calls: 19 } })).verdict).toBe("open");
  });
});

describe("findNextStep()", () => {
  const waves = planWaves(undefined, { staged: ["eu", "us"], live: ["eu"] });
  const position = (changes: Partial<ReleasePosition>): ReleasePosition => ({
    state: ReleaseState.ROLLING,
    wave: 0,
    waves,
    limits,
    inStateMs: 0,
    isWaveEmpty: false,
    ...changes,
  });

  it("begins a pending one, and finishes one without waves", () => {
    const state = ReleaseState.PENDING;
    expect(findNextStep(position({ state }), facts())).toEqual({ step: "begin-wave", wave: 0 });
    expect(findNextStep(position({ state, waves: [] }), facts())).toEqual({ step: "finish" });
  });

  it("watches a wave for its bake time before the next one, and the last one too", () => {
    const state = ReleaseState.BAKING;
    expect(findNextStep(position({}), facts())).toEqual({ step: "bake" });
    expect(findNextStep(position({ state, inStateMs: 4_999 }), facts()).step).toBe("stay");
    expect(findNextStep(position({ state, inStateMs: 5_000 }), facts())).toEqual({ step: "begin-wave", wave: 1 });
    expect(findNextStep(position({ state, wave: 2, inStateMs: 10_000 }), facts())).toEqual({ step: "finish" });
  });

  it("watches a wave for as long as the policy says, to the millisecond", () => {
    const wanted = planWaves(rollout({ waves: [{ regions: ["eu"], bake: "1.5s" }] }), { staged: ["eu"], live: ["eu"] });
    const stepAfter = (inStateMs: number) =>
      findNextStep(position({ state: ReleaseState.BAKING, waves: wanted, inStateMs }), facts()).step;
    expect([stepAfter(1_499), stepAfter(1_500)]).toEqual(["stay", "finish"]);
  });

  it("takes no time for a wave that gave the version to nobody", () => {
    expect(findNextStep(position({ isWaveEmpty: true }), facts({ routers: [] }))).toEqual({
      step: "begin-wave",
      wave: 1,
    });
  });

  it("rolls again when a router that was watched is missed, and halts when it stays away", () => {
    const routers = [router({ isConnected: false })];
    const late = facts({ routers, rollingMs: 20_000 });
    expect(findNextStep(position({ state: ReleaseState.BAKING, inStateMs: 20_000 }), late)).toEqual({ step: "roll" });
    expect(findNextStep(position({}), late).step).toBe("halt");
  });

  it("goes on watching a wave when one router in ten, which was waited for, is gone for good", () => {
    const rest = Array.from({ length: 9 }, (_, index) => router({ name: `eu/${index}` }));
    const fewer = facts({ routers: [...rest, router({ isConnected: false })] });
    expect(findNextStep(position({ state: ReleaseState.BAKING }), fewer).step).toBe("stay");
  });

  it("halts when a gate fails while it rolls or bakes, and then rolls back", () => {
    const bad = facts({ routers: [router({ crashes: 1 })] });
    expect(findNextStep(position({}), bad).step).toBe("halt");
    expect(findNextStep(position({ state: ReleaseState.BAKING, inStateMs: 60_000 }), bad).step).toBe("halt");
    expect(findNextStep(position({ state: ReleaseState.HALTED }), facts())).toEqual({ step: "roll-back" });
  });

  it("leaves what has ended alone", () => {
    for (const state of [ReleaseState.DONE, ReleaseState.ROLLED_BACK, ReleaseState.SUPERSEDED]) {
      expect(findNextStep(position({ state }), facts()).step).toBe("stay");
    }
  });
});
