import { ReleaseState, type ReleaseWave } from "../../../gen/weir/policy/v1/release_pb.ts";
import { type GateFacts, type GateLimits, judgeGates } from "./gates.ts";

/** Where a release stands. */
export interface ReleasePosition {
  readonly state: ReleaseState;
  /** Number of the present wave, from 0. */
  readonly wave: number;
  readonly waves: readonly ReleaseWave[];
  readonly limits: GateLimits;
  /** How long it has been in its state, milliseconds, by the database's clock. */
  readonly inStateMs: number;
  /** Whether the present wave gave the version to anybody. */
  readonly isWaveEmpty: boolean;
}

/** What a release does next. */
export type ReleaseStep =
  | { readonly step: "stay"; readonly reasons: readonly string[] }
  /** Give the version to the routers of a wave. */
  | { readonly step: "begin-wave"; readonly wave: number }
  /** All routers of the wave have applied it: watch them. */
  | { readonly step: "bake" }
  /** One of them is missed: wait for it again. */
  | { readonly step: "roll" }
  | { readonly step: "finish" }
  | { readonly step: "halt"; readonly reasons: readonly string[] }
  | { readonly step: "roll-back" };

/**
 * The next step of a release. What it stands on is in the database, so whichever instance of policy looks comes to the same, and one that
 * dies in between leaves nothing undone: PENDING begins, ROLLING and BAKING are judged again, HALTED is rolled back by the next who looks.
 */
export function findNextStep(position: ReleasePosition, facts: GateFacts): ReleaseStep {
  const { state, wave, waves, limits, inStateMs, isWaveEmpty } = position;
  switch (state) {
    case ReleaseState.PENDING:
      return waves.length === 0 ? { step: "finish" } : { step: "begin-wave", wave: 0 };
    case ReleaseState.ROLLING: {
      const verdict = judgeGates(limits, facts);
      if (verdict.verdict === "failed") return { step: "halt", reasons: verdict.reasons };
      if (verdict.verdict === "waiting") return { step: "stay", reasons: verdict.reasons };
      // Nobody new runs it: there is nothing to watch.
      return isWaveEmpty ? goOn(wave, waves) : { step: "bake" };
    }
    case ReleaseState.BAKING: {
      // Who is missed is given its time by ROLLING.
      const verdict = judgeGates(limits, { ...facts, rollingMs: 0 });
      if (verdict.verdict === "failed") return { step: "halt", reasons: verdict.reasons };
      if (verdict.verdict === "waiting" && !isGoneForGood(limits, facts)) return { step: "roll" };
      const leftMs = bakeMs(waves[wave]) - inStateMs;
      if (leftMs <= 0) return goOn(wave, waves);
      return { step: "stay", reasons: [`Its routers are watched for another ${Math.ceil(leftMs / 1000)} s`] };
    }
    case ReleaseState.HALTED:
      return { step: "roll-back" };
    default:
      return { step: "stay", reasons: [] };
  }
}

function goOn(wave: number, waves: readonly ReleaseWave[]): ReleaseStep {
  return wave + 1 < waves.length ? { step: "begin-wave", wave: wave + 1 } : { step: "finish" };
}

// A few routers of many that were waited for in vain are not waited for once more.
function isGoneForGood(limits: GateLimits, facts: GateFacts): boolean {
  return judgeGates(limits, { ...facts, rollingMs: limits.appliedWithinMs }).verdict === "open";
}

function bakeMs(wave: ReleaseWave | undefined): number {
  const { seconds = 0n, nanos = 0 } = wave?.bake ?? {};
  return Number(seconds) * 1000 + nanos / 1e6;
}
