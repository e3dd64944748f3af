import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotProviderSchema, SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import type { Plan } from "../../shared/decision/plan.ts";
import type { TargetFault } from "../providers/fault.ts";
import { type Reached, type StandingChange, Standings } from "./standings.ts";

const reach = (id: string, rest: { model?: string; baseUrl?: string; secret?: string } = {}): Reached => ({
  target: create(SnapshotTargetSchema, { id, provider: "p", model: rest.model ?? "m" }),
  upstream: {
    provider: create(SnapshotProviderSchema, { id: "p", baseUrl: rest.baseUrl ?? "https://a.example/v1" }),
    secret: rest.secret ?? "sk-1",
  },
});
const A = reach("a");
const B = reach("b");

function planOf(...targets: Reached[]): Plan {
  const candidates = targets.map(({ target, upstream }, priority) => ({
    target,
    provider: upstream.provider,
    priority,
    weight: 1,
    draw: 0,
  }));
  return { kind: "plan", model: create(ModelSchema, { id: "large" }), limits: [], candidates, rejected: [] };
}

function start(router = "eu-1", clock = new ManualClock()) {
  const changes: StandingChange[] = [];
  const standings = new Standings({ clock, router, onChange: (change) => changes.push(change) });
  let calls = 0;
  /** One attempt that comes to what is said. */
  const attempt = (
    reached: Reached,
    came: TargetFault | "answer" | "nothing",
    eventId = `e${calls++}`,
    retryAfterMs?: number,
  ) => {
    standings.begin(reached.target, eventId);
    const startedMs = clock.monotonicMs();
    if (came === "answer") standings.noteContent(reached, startedMs);
    const fault = came === "answer" || came === "nothing" ? undefined : came;
    standings.noteEnd(reached, { eventId, startedMs, isAnswered: came === "answer", fault, retryAfterMs });
  };
  const eject = (reached: Reached) => {
    for (let count = 0; count < 5; count++) attempt(reached, "failed");
  };
  const idsOf = (plan: Plan) => {
    const sifted = standings.sift(plan);
    return sifted.kind === "plan" ? sifted.candidates.map(({ target }) => target.id) : sifted.reason;
  };
  return { clock, standings, changes, attempt, eject, idsOf };
}

describe("Standings", () => {
  it("holds nothing of targets that do well, and nothing once they do well again", () => {
    const { standings, attempt } = start();

    attempt(A, "answer");
    attempt(A, "nothing");
    expect(standings.isQuiet).toBe(true);
    attempt(A, "failed");
    expect(standings.isQuiet).toBe(false);
    attempt(A, "answer");
    expect(standings.isQuiet).toBe(true);
  });

  it("takes one that fails out of the plan while another does well, and tells of it once", () => {
    const { eject, attempt, idsOf, changes, standings } = start();

    eject(A);
    attempt(A, "failed");

    expect(idsOf(planOf(A, B))).toEqual(["b"]);
    expect(changes).toMatchObject([{ target: "a", kind: "ejected", cause: "failed", ejections: 1 }]);
    expect(standings.list()).toMatchObject([{ target: "a", state: "out", cause: "failed" }]);
  });

  it("lets one call at a time through to one that is due", () => {
    const { clock, eject, idsOf, standings, attempt } = start();
    eject(A);
    clock.advance(5_000);

    expect(standings.list()).toMatchObject([{ state: "due", forMs: 0 }]);
    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
    standings.claim(A.target, "probe");
    expect(idsOf(planOf(A, B))).toEqual(["b", "a"]);
    expect(standings.findWait(A.target, { eventId: "other", hasOther: true })).toBeDefined();
    expect(standings.findWait(A.target, { eventId: "probe", hasOther: true })).toBeUndefined();
    attempt(A, "nothing", "probe");
    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
  });

  it("lets another call through when the one that was to probe never began its attempt", () => {
    const { clock, eject, idsOf, standings } = start();
    eject(A);
    clock.advance(5_000);
    standings.claim(A.target, "gone");

    clock.advance(999);
    expect(idsOf(planOf(A, B))).toEqual(["b", "a"]);
    clock.advance(1);
    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
  });

  it("brings one back at the first content of a probe, however long its answer takes", () => {
    const { clock, eject, standings, changes } = start();
    eject(A);
    clock.advance(5_000);
    standings.begin(A.target, "probe");

    standings.noteContent(A, clock.monotonicMs());

    expect(standings.list()).toMatchObject([{ state: "returning", forMs: 10_000 }]);
    expect(changes.map(({ kind }) => kind)).toEqual(["ejected", "returned"]);
  });

  it("tells of each ejection of a probe that failed", () => {
    const { clock, eject, attempt, changes } = start();
    eject(A);
    clock.advance(5_000);

    attempt(A, "failed");

    expect(changes.map(({ kind, ejections }) => [kind, ejections])).toEqual([
      ["ejected", 1],
      ["ejected", 2],
    ]);
  });

  it("leaves one alone for as long as its provider wants, and tells when that begins", () => {
    const { clock, attempt, idsOf, changes } = start();

    attempt(A, "limited", "e", 7_000);
    attempt(A, "limited", "f", 7_000);
    expect(idsOf(planOf(A, B))).toEqual(["b"]);
    expect(idsOf(planOf(A))).toBe("PROVIDER_RATE_LIMITED");
    clock.advance(7_000);
    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
    expect(changes).toMatchObject([{ kind: "cooled", cause: "limited", forMs: 7_000 }]);
  });

  it("asks the only target of a call all the same, every two seconds when it does not answer", () => {
    const { clock, eject, idsOf, standings, attempt } = start();
    eject(A);
    expect(idsOf(planOf(A))).toEqual(["a"]);
    clock.advance(2_000);

    expect(idsOf(planOf(A))).toEqual(["a"]);
    standings.claim(A.target, "lone");
    expect(standings.findWait(A.target, { eventId: "lone", hasOther: false })).toBeUndefined();
    expect(idsOf(planOf(A))).toBe("TARGET_EJECTED");
    expect(standings.sift(planOf(A))).toMatchObject({ retryAfterMs: expect.any(Number) });
    attempt(A, "failed", "lone");
    clock.advance(1_000);
    expect(idsOf(planOf(A))).toBe("TARGET_EJECTED");
    clock.advance(1_000);
    expect(idsOf(planOf(A))).toEqual(["a"]);
  });

  it("brings the only target of a call back as soon as it answers one", () => {
    const { clock, eject, idsOf, attempt } = start();
    eject(A);
    clock.advance(2_000);

    attempt(A, "answer");

    expect(idsOf(planOf(A))).toEqual(["a"]);
    expect(idsOf(planOf(A))).toEqual(["a"]);
  });

  it("has a target that recovered unseen take all calls at once when the others fail", () => {
    const { clock, eject, idsOf, standings } = start();
    eject(B);
    clock.advance(60_000);
    standings.begin(B.target, "first");

    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
    const waits = ["second", "third"].map((eventId) => standings.findWait(B.target, { eventId, hasOther: false }));
    expect(waits).toEqual([undefined, undefined]);
    eject(A);
    expect(idsOf(planOf(A, B))).toEqual(["a", "b"]);
  });

  it("says in mid-chat that one has been ejected since, and how long to wait", () => {
    const { clock, eject, standings } = start();
    eject(A);
    clock.advance(2_500);
    standings.begin(A.target, "another");

    expect(standings.findWait(A.target, { eventId: "e", hasOther: true })).toBeGreaterThan(0);
    expect(standings.findWait(A.target, { eventId: "e", hasOther: false })).toBeGreaterThan(0);
    expect(standings.findWait(B.target, { eventId: "e", hasOther: true })).toBeUndefined();
  });

  it.each([
    ["address", reach("a", { baseUrl: "https://b.example/v1" })],
    ["model", reach("a", { model: "other" })],
    ["credential", reach("a", { secret: "sk-2" })],
  ])("knows nothing of a target that has another %s", (_, changed) => {
    const { eject, standings, attempt } = start();
    eject(A);

    standings.keepOnly([changed, B]);

    expect(standings.isQuiet).toBe(true);
    for (let count = 0; count < 5; count++) attempt(A, "failed");
    expect(standings.isQuiet).toBe(true);
    attempt(changed, "failed");
    expect(standings.isQuiet).toBe(false);
  });

  it("remembers those that a new snapshot leaves as they are, and forgets those that it lacks", () => {
    const { eject, standings } = start();
    eject(A);
    eject(B);

    standings.keepOnly([reach("a")]);

    expect(standings.list().map(({ target }) => target)).toEqual(["a"]);
  });

  it("stands by itself in each router, and draws otherwise when it comes back", () => {
    const clock = new ManualClock();
    const routers = ["eu-1", "eu-2", "eu-3"].map((name) => start(name, clock));

    routers[0]!.eject(A);
    expect(routers.map(({ idsOf }) => idsOf(planOf(A, B)))).toEqual([["b"], ["a", "b"], ["a", "b"]]);
    for (const { eject } of routers.slice(1)) eject(A);

    expect(new Set(routers.map(({ standings }) => standings.list()[0]?.forMs)).size).toBe(3);
  });

  it("never keeps a good target from being asked, and never asks one outside the plan, whatever happened", () => {
    const fault = fc.constantFrom<TargetFault | "answer" | "nothing">(
      ...(["failed", "unreachable", "limited", "overloaded", "credential", "quota", "answer", "nothing"] as const),
    );
    const step = fc.record({ target: fc.nat(3), fault, afterMs: fc.nat(8_000), retryAfterMs: fc.nat(20_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.subarray([0, 1, 2, 3]), (steps, planned) => {
        const { clock, standings, attempt } = start();
        const targets = ["a", "b", "c", "d"].map((id) => reach(id));
        // The small model: a target is good until it has shown a fault that no answer followed.
        const bad = new Set<number>();
        for (const [index, { target, fault, afterMs, retryAfterMs }] of steps.entries()) {
          clock.advance(afterMs);
          const plan = planOf(...planned.map((one) => targets[one]!));
          const sifted = standings.sift(plan);
          if (sifted.kind === "plan") {
            const asked = sifted.candidates.map((one) => one.target.id);
            expect(plan.candidates.map((one) => one.target.id)).toEqual(expect.arrayContaining(asked));
            for (const one of planned) if (!bad.has(one)) expect(asked).toContain(targets[one]!.target.id);
          } else {
            expect(planned.every((one) => bad.has(one))).toBe(true);
            expect(sifted.retryAfterMs).toBeGreaterThan(0);
            expect(sifted.retryAfterMs).toBeLessThanOrEqual(600_000);
          }
          attempt(targets[target]!, fault, `e${index}`, retryAfterMs);
          if (fault !== "answer" && fault !== "nothing") bad.add(target);
        }
      }),
    );
  });
});
