import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  type KeyGrant,
  KeyGrantSchema,
  type Snapshot,
  SnapshotSchema,
} from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { createEventId } from "../ids.ts";
import { decide, listModels } from "./decide.ts";
import type { Denial, Plan } from "./plan.ts";
import { indexSnapshot } from "./tables.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const EVENT = "019b7800-0000-7000-8000-000000000001";

const snapshot = create(SnapshotSchema, {
  region: "eu",
  version: 7n,
  policyVersion: 3n,
  organisation: "acme",
  providers: [{ id: "p1" }, { id: "p2" }],
  targets: [
    { id: "a", provider: "p1", model: "m" },
    { id: "b", provider: "p1", model: "m" },
    { id: "c", provider: "p2", model: "m" },
  ],
  models: [
    {
      id: "large",
      routes: [
        { target: "c", priority: 1 },
        { target: "a", weight: 3 },
        { target: "b", weight: 1 },
      ],
    },
    { id: "small", routes: [{ target: "c" }] },
  ],
  limits: [
    { id: "all", per: LimitPer.KEY, requestsPerMinute: 10 },
    { id: "ops-team", per: LimitPer.TEAM, requestsPerMinute: 10, tenants: { team: "ops" } },
    { id: "search-prod", per: LimitPer.APP, requestsPerMinute: 10, tenants: { app: "search", environment: "prod" } },
  ],
});
const tables = indexSnapshot(snapshot);

function createGrant(fields: Partial<KeyGrant> = {}): KeyGrant {
  const grant = create(KeyGrantSchema, {
    keyId: "abcdefghij27",
    organisation: "acme",
    team: "web",
    app: "search",
    environment: "prod",
    models: ["*"],
  });
  return Object.assign(grant, fields);
}

function plan(model = "large", eventId = EVENT, rest: { grant?: KeyGrant; reject?: string } = {}): Plan {
  const decision = decide(tables, {
    grant: rest.grant ?? createGrant(),
    model,
    eventId,
    nowMs: NOW_MS,
    ...(rest.reject && { findRejection: ({ id }) => (id === rest.reject ? "NO_TARGET" : undefined) }),
  });
  expect(decision.kind).toBe("plan");
  return decision as Plan;
}

function deny(model: string, grant: KeyGrant): Denial {
  const decision = decide(tables, { grant, model, eventId: EVENT, nowMs: NOW_MS });
  expect(decision.kind).toBe("denial");
  return decision as Denial;
}

describe("decide()", () => {
  it("puts a lower priority number first, whatever the draws say", () => {
    for (let count = 0; count < 200; count++) {
      const targets = plan("large", createEventId(NOW_MS)).candidates.map(({ target }) => target.id);
      expect(targets).toHaveLength(3);
      expect(targets[2]).toBe("c");
    }
  });

  it("gives a weight of three three times as many calls as a weight of one", () => {
    let first = 0;
    const calls = 20_000;
    for (let count = 0; count < calls; count++) {
      if (plan("large", createEventId(NOW_MS + count)).candidates[0]?.target.id === "a") first++;
    }

    // Four standard deviations of a binomial around 3/4.
    expect(Math.abs(first / calls - 0.75)).toBeLessThan(4 * Math.sqrt((0.75 * 0.25) / calls));
  });

  it("decides the same call the same way again, also under a rebuilt index", () => {
    const again = indexSnapshot(structuredClone(snapshot) as Snapshot);

    const other = decide(again, { grant: createGrant(), model: "large", eventId: EVENT, nowMs: NOW_MS }) as Plan;

    expect(other.candidates).toEqual(plan().candidates);
  });

  it("draws as it did when this test was written", () => {
    const { candidates } = plan();

    expect(candidates.map(({ target, draw }) => [target.id, draw])).toMatchInlineSnapshot(`
      [
        [
          "a",
          673989205,
        ],
        [
          "b",
          490951903,
        ],
        [
          "c",
          883145256,
        ],
      ]
    `);
  });

  it("shows draws that never contradict the order", () => {
    for (let count = 0; count < 500; count++) {
      const [first, second] = plan("large", createEventId(NOW_MS)).candidates;
      expect(first?.draw).toBeGreaterThanOrEqual(second?.draw as number);
    }
  });

  it("keeps the order of the others when a target can't be used, and says why it can't", () => {
    for (let count = 0; count < 100; count++) {
      const eventId = createEventId(NOW_MS);
      const whole = plan("large", eventId).candidates.map(({ target }) => target.id);
      const { candidates, rejected } = plan("large", eventId, { reject: "a" });

      expect(candidates.map(({ target }) => target.id)).toEqual(whole.filter((id) => id !== "a"));
      expect(rejected).toMatchObject([{ target: { id: "a" }, reason: "NO_TARGET" }]);
    }
  });

  it("plans without candidates when every target is rejected", () => {
    expect(plan("small", EVENT, { reject: "c" })).toMatchObject({
      candidates: [],
      rejected: [{ target: { id: "c" } }],
    });
  });

  it("names the limits that count the caller and no other", () => {
    expect(plan("small").limits.map(({ id }) => id)).toEqual(["all", "search-prod"]);
    const ops = plan("small", EVENT, { grant: createGrant({ team: "ops", environment: "test" }) });
    expect(ops.limits.map(({ id }) => id)).toEqual(["all", "ops-team"]);
  });

  it("denies a model that the region does not have", () => {
    expect(deny("huge", createGrant())).toMatchObject({ reason: "MODEL_UNKNOWN", facts: { model: "huge" } });
  });

  it("denies a model that the key may not ask for", () => {
    expect(deny("large", createGrant({ models: ["small"] }))).toMatchObject({ reason: "MODEL_NOT_ALLOWED" });
    expect(deny("small", createGrant({ models: [] }))).toMatchObject({ reason: "MODEL_NOT_ALLOWED" });
  });

  it("denies a revoked key", () => {
    const grant = createGrant({ revokedAt: timestampFromMs(NOW_MS + 1) });

    expect(deny("small", grant)).toMatchObject({ reason: "KEY_REVOKED", facts: { key_id: "abcdefghij27" } });
  });

  it("denies a key from the instant of its expiry", () => {
    expect(deny("small", createGrant({ expiresAt: timestampFromMs(NOW_MS) })).reason).toBe("KEY_EXPIRED");
    plan("small", EVENT, { grant: createGrant({ expiresAt: timestampFromMs(NOW_MS + 1) }) });
  });

  it("repeats no more than 128 characters of what the caller wrote", () => {
    expect(deny("x".repeat(10_000), createGrant()).message.length).toBeLessThan(250);
  });
});

describe("listModels()", () => {
  it("lists what the key may ask for", () => {
    expect(listModels(tables, createGrant()).map(({ id }) => id)).toEqual(["large", "small"]);
    expect(listModels(tables, createGrant({ models: ["small", "gone"] })).map(({ id }) => id)).toEqual(["small"]);
  });
});

describe("indexSnapshot()", () => {
  const changed = (change: (copy: Snapshot) => void): Snapshot => {
    const copy = structuredClone(snapshot) as Snapshot;
    change(copy);
    return copy;
  };

  it.each<[string, (copy: Snapshot) => void]>([
    ["a route that leads nowhere", (copy) => copy.targets.pop()],
    ["a target without its provider", (copy) => copy.providers.pop()],
    ["an id twice", (copy) => copy.models.push(copy.models[0] as never)],
    ["a model without a route", (copy) => copy.models[0]?.routes.splice(0)],
    ["too many routes", (copy) => copy.models[0]?.routes.push(...Array(64).fill(copy.models[0]?.routes[0]))],
  ])("refuses %s", (_, change) => {
    expect(() => indexSnapshot(changed(change))).toThrow(expect.objectContaining({ reason: "SNAPSHOT_REFUSED" }));
  });
});
