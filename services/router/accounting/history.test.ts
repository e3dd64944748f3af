import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { createBootId } from "../../shared/ids.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import type { Accounting } from "./accounting.ts";
import { type BegunCall, beginCall, SAMPLE_MS } from "./calls.fixture.ts";
import { openAccounting } from "./open-accounting.ts";
import { Owners } from "./owners.fixture.ts";

const log = createLog({ service: "test", level: "silent" });

/** What can happen to a router, in any order. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant("begin" as const) },
  { weight: 5, arbitrary: fc.constant("settle" as const) },
  { weight: 2, arbitrary: fc.constant("time passes" as const) },
  { weight: 2, arbitrary: fc.constant("kill" as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("bus down", "bus up", "bus loses", "bus keeps", "owners away", "owners back"),
  },
);

class History {
  readonly owners = new Owners();
  readonly root = mkdtempSync(join(tmpdir(), "weir-history-"));
  readonly settled = new Set<string>();
  readonly begun = new Set<string>();
  open: BegunCall[] = [];
  accounting!: Accounting;
  clock!: ManualClock;

  /** A new life; the one before it, if any, stands still for ever, as if killed. */
  async live(): Promise<void> {
    this.clock = new ManualClock(SAMPLE_MS);
    this.open = [];
    this.accounting = await openAccounting({
      producer: { region: "eu", instance: "eu-1", boot: createBootId() },
      directory: this.root,
      limitBytes: 2 ** 22,
      segmentBytes: 4_096,
      roads: this.owners,
      log,
      clock: this.clock,
    });
  }

  async run(what: typeof step extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    switch (what) {
      case "begin": {
        const call = await beginCall(this.accounting);
        this.begun.add(call.open.eventId);
        this.open.push(call);
        return;
      }
      case "settle": {
        const call = this.open.shift();
        await call?.settle();
        if (call !== undefined) this.settled.add(call.open.eventId);
        return;
      }
      case "time passes":
        await this.clock.whenSleeping(3);
        this.clock.advance(1_100);
        return;
      case "kill":
        // Both shippers and the ticker asleep: nothing of the old life moves once its clock stands still.
        await this.clock.whenSleeping(3);
        await this.live();
        return;
      case "bus down":
      case "bus up":
        this.owners.isBusDown = what === "bus down";
        return;
      case "bus loses":
      case "bus keeps":
        this.owners.isLosing = what === "bus loses";
        return;
      default:
        this.owners.isAway = what === "owners away";
    }
  }

  /** Everything is well again, and a last life brings home what there is. */
  async end(): Promise<void> {
    for (const what of ["bus up", "bus keeps", "owners back", "kill"] as const) await this.run(what);
    await vi.waitFor(
      () => {
        this.clock.advance(500);
        expect(this.owners.usages.size).toBe(this.begun.size);
        expect(this.owners.records.size).toBe(this.begun.size);
        expect(readdirSync(this.root)).toHaveLength(1);
      },
      { timeout: 20_000, interval: 1 },
    );
  }
}

describe("any history of a router", () => {
  it("leaves exactly one usage and one record for each call that began, and the seqs of each life have no gap", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const history = new History();
        try {
          await history.live();
          for (const what of steps) await history.run(what);
          await history.end();
          const { owners, begun, settled } = history;
          expect(new Set(owners.usages.keys())).toEqual(begun);
          expect(new Set(owners.records.keys())).toEqual(begun);
          expect(owners.contradictions).toEqual([]);
          for (const [id, { outcome, attempts }] of owners.usages) {
            expect(outcome).toBe(settled.has(id) ? OutcomeKind.ANSWERED : OutcomeKind.ABANDONED);
            expect(attempts[0]?.lines.every(({ quantity }) => quantity > 0n)).toBe(true);
          }
          for (const seqs of owners.seqs.values()) {
            expect([...seqs].sort((a, b) => Number(a - b))).toEqual(Array.from(seqs, (_, index) => BigInt(index + 1)));
          }
        } finally {
          rmSync(history.root, { recursive: true, force: true });
        }
      }),
      { numRuns: 40 },
    );
  });
});
