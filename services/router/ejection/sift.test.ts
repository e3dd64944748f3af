import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotProviderSchema, SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { computeScore, createDrawSeed, DRAW_RANGE, toDraw } from "../../shared/decision/draw.ts";
import type { Plan, RankedTarget } from "../../shared/decision/plan.ts";
import { siftPlan, type View } from "./sift.ts";

const provider = create(SnapshotProviderSchema, { id: "p" });
const model = create(ModelSchema, { id: "large" });
const rank = (id: string, rest: Partial<RankedTarget> = {}): RankedTarget => ({
  target: create(SnapshotTargetSchema, { id }),
  provider,
  priority: 0,
  weight: 1,
  draw: DRAW_RANGE / 2,
  ...rest,
});
const planOf = (...candidates: RankedTarget[]): Plan => ({ kind: "plan", model, limits: [], candidates, rejected: [] });
const idsOf = (candidates: readonly { readonly target: { readonly id: string } }[]) =>
  candidates.map(({ target }) => target.id);

const OUT: View = { kind: "absent", reason: "TARGET_EJECTED", tryMs: 5_000 };
const LIMITED: View = { kind: "absent", reason: "PROVIDER_RATE_LIMITED", tryMs: 3_000 };

function sift(
  views: Readonly<Record<string, View | undefined>>,
  plan = planOf(rank("a"), rank("b"), rank("c")),
  nowMs = 0,
) {
  return siftPlan(plan, nowMs, ({ target }) => views[target.id]);
}

describe("siftPlan()", () => {
  it("leaves a plan as it is while its targets do well", () => {
    const plan = planOf(rank("a"), rank("b"));

    expect(sift({ b: { kind: "in", share: 1 } }, plan)).toBe(plan);
  });

  it("rejects those that are not to be asked, with why, and keeps the order of the others", () => {
    const sifted = sift({ a: OUT, b: LIMITED }) as Plan;

    expect(idsOf(sifted.candidates)).toEqual(["c"]);
    expect(sifted.rejected).toMatchObject([
      { target: { id: "a" }, reason: "TARGET_EJECTED" },
      { target: { id: "b" }, reason: "PROVIDER_RATE_LIMITED" },
    ]);
  });

  it("keeps what was rejected before, each with its reason", () => {
    const before = {
      ...planOf(rank("a"), rank("b")),
      rejected: [{ target: rank("x").target, reason: "NO_TARGET" }],
    } as Plan;

    const { rejected } = sift({ a: OUT }, before) as Plan;

    expect(rejected.map(({ target, reason }) => [target.id, reason])).toEqual([
      ["x", "NO_TARGET"],
      ["a", "TARGET_EJECTED"],
    ]);
  });

  it("asks one that is due in its place", () => {
    expect(idsOf((sift({ a: { kind: "due" }, b: OUT }) as Plan).candidates)).toEqual(["a", "c"]);
  });

  it("asks one that another call is probing after all others, unless nothing else is left", () => {
    const probed: View = { ...OUT, kind: "probed" };

    expect(idsOf((sift({ a: probed, b: OUT }) as Plan).candidates)).toEqual(["c", "a"]);
    expect(sift({ a: probed, b: OUT, c: OUT })).toMatchObject({ kind: "denial", retryAfterMs: 5_000 });
  });

  it("asks one that comes back after all others, unless the call is among its share", () => {
    const returning: View = { kind: "in", share: 0.1 };
    const late = planOf(rank("a", { draw: 0.89 * DRAW_RANGE }), rank("b", { priority: 1 }));
    const early = planOf(rank("a", { draw: 0.91 * DRAW_RANGE }), rank("b", { priority: 1 }));

    const sifted = sift({ a: returning }, late) as Plan;
    expect(idsOf(sifted.candidates)).toEqual(["b", "a"]);
    expect(sifted.candidates.map(({ isDeferred }) => isDeferred)).toEqual([undefined, true]);
    expect(sift({ a: returning }, early)).toBe(early);
  });

  it("asks one that comes back in its place when no other does well", () => {
    const plan = planOf(rank("a", { draw: 0 }), rank("b", { draw: 0 }));

    expect(sift({ a: { kind: "in", share: 0.1 }, b: { kind: "due" } }, plan)).toBe(plan);
    expect(idsOf((sift({ a: { kind: "in", share: 0.1 }, b: OUT }, plan) as Plan).candidates)).toEqual(["a"]);
  });

  it.each([1, 3, 1_000])("gives one of weight %i its share of the calls, whatever its weight", (weight) => {
    const calls = 20_000;
    let asked = 0;
    const seed = createDrawSeed("a");
    for (let call = 0; call < calls; call++) {
      const draw = toDraw(computeScore(createDrawSeed(`event ${call}`), seed, weight));
      const sifted = sift(
        { a: { kind: "in", share: 0.3 } },
        planOf(rank("a", { weight, draw }), rank("b", { priority: 1 })),
      );
      if (idsOf((sifted as Plan).candidates)[0] === "a") asked += 1;
    }

    // Four standard deviations of a binomial around 0.3.
    expect(Math.abs(asked / calls - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / calls));
  });

  it("tries those whose time has come when nothing is left, and no other", () => {
    const sifted = sift({ a: OUT, b: { ...OUT, tryMs: 0 }, c: LIMITED }) as Plan;

    expect([idsOf(sifted.candidates), idsOf(sifted.rejected)]).toEqual([["b"], ["a", "c"]]);
  });

  it("denies a call that has nowhere to go, with the earliest time at which one has", () => {
    expect(sift({ a: OUT, b: LIMITED, c: OUT })).toMatchObject({
      kind: "denial",
      reason: "TARGET_EJECTED",
      retryAfterMs: 3_000,
      facts: { model: "large" },
    });
  });

  it("denies a call for the rate limit when that is all that is wrong", () => {
    const denial = sift({ a: LIMITED, b: { ...LIMITED, tryMs: 7_500 }, c: LIMITED }, undefined, 1_000);

    expect(denial).toMatchObject({ reason: "PROVIDER_RATE_LIMITED", retryAfterMs: 2_000 });
  });

  it("leaves a plan that had nothing in it before to be refused for that", () => {
    const plan = planOf();

    expect(sift({}, plan)).toBe(plan);
  });

  const view = fc.oneof(
    fc.constant(undefined),
    fc.record({ kind: fc.constant("in" as const), share: fc.double({ min: 0.1, max: 1, noNaN: true }) }),
    fc.constant({ kind: "due" as const }),
    fc.record({
      kind: fc.constantFrom("absent" as const, "probed" as const),
      reason: fc.constantFrom("TARGET_EJECTED" as const, "PROVIDER_RATE_LIMITED" as const),
      tryMs: fc.integer({ min: -10, max: 10 }),
    }),
  );
  const candidate = fc.record({
    view,
    draw: fc.integer({ min: 0, max: DRAW_RANGE }),
    weight: fc.integer({ min: 1, max: 100 }),
  });

  it("never adds a target, loses none, and denies only when each is absent and none may be tried", () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 8 }), (given) => {
        const ranked = given.map(({ draw, weight }, index) => rank(`t${index}`, { draw, weight }));
        const views = Object.fromEntries(given.map((one, index) => [`t${index}`, one.view]));
        const plan = planOf(...ranked);

        const sifted = sift(views, plan);

        const all = idsOf(ranked);
        if (sifted.kind === "denial") {
          expect(given.every(({ view: one }) => one !== undefined && "tryMs" in one && one.tryMs > 0)).toBe(true);
          return;
        }
        expect([...idsOf(sifted.candidates), ...idsOf(sifted.rejected)].sort()).toEqual([...all].sort());
        expect(sifted.candidates.length > 0 || all.length === 0).toBe(true);
        const inPlace = sifted.candidates.filter(({ isDeferred }) => isDeferred !== true);
        const deferred = sifted.candidates.filter(({ isDeferred }) => isDeferred === true);
        expect(sifted.candidates).toEqual([...inPlace, ...deferred]);
        for (const part of [inPlace, deferred]) {
          expect(idsOf(part)).toEqual(all.filter((id) => idsOf(part).includes(id)));
        }
      }),
    );
  });
});
