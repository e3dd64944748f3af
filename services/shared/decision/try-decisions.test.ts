import { clone, create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema, type Snapshot, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type DecisionTables, indexSnapshot } from "./tables.ts";
import { tryDecisions } from "./try-decisions.ts";

const targets = Array.from({ length: 3 }, (_, index) => ({ id: `p/${index}`, provider: "p", model: "m" }));
const snapshot: Snapshot = create(SnapshotSchema, {
  region: "eu",
  organisation: "acme",
  providers: [{ id: "p" }],
  targets,
  models: [
    { id: "one", routes: [{ target: "p/0" }] },
    { id: "two", routes: [{ target: "p/1" }, { target: "p/2", priority: 1 }] },
  ],
});
const grant = create(KeyGrantSchema, { keyId: "bbbbbbbbbbbb", organisation: "acme", models: ["one"] });

/** Runs a trial in one go; each look at the clock finds it `stepMs` later. */
function tryTables(
  tables: DecisionTables,
  stepMs = 0,
  totalMs = 2_000,
): { problem: string | undefined; steps: number } {
  let nowMs = 0;
  const trial = tryDecisions(tables, [grant], {
    totalMs,
    workedMs: () => {
      nowMs += stepMs;
      return nowMs;
    },
  });
  for (let steps = 0; ; steps++) {
    const step = trial.next();
    if (step.done) return { problem: step.value, steps };
  }
}

describe("tryDecisions()", () => {
  it("finds nothing to say of tables that decide, and can be put down between decisions", () => {
    expect(tryTables(indexSnapshot(snapshot))).toEqual({ problem: undefined, steps: 4 });
  });

  it("says which model's decision throws", () => {
    const tables = indexSnapshot(snapshot);
    const broken: DecisionTables = {
      ...tables,
      getGrantFacts: (asked) => {
        if (asked.keyId === grant.keyId) throw new Error("out of ideas");
        return tables.getGrantFacts(asked);
      },
    };
    expect(tryTables(broken).problem).toBe('a decision for model "one" throws: out of ideas');
  });

  it("says when a decision leads out of the snapshot", () => {
    const foreign = indexSnapshot(clone(SnapshotSchema, snapshot));
    const tables = { ...indexSnapshot(snapshot), models: foreign.models };
    expect(tryTables(tables).problem).toMatch(/model "one" leads to a target that is not in the snapshot/);
  });

  it("C5: stops at the first decision that takes too long, and when all of them together do", () => {
    const tables = indexSnapshot(snapshot);
    expect(tryTables(tables, 10_000)).toEqual({
      problem: 'a decision for model "one" takes 10000 ms, more than 50',
      steps: 0,
    });
    expect(tryTables(tables, 40, 100).problem).toBe("trying its decisions takes more than 100 ms");
  });
});
