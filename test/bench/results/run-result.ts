import type { Figures } from "../figures.ts";
import type { Sample } from "../measure.ts";

/** One measurement, whole: what is printed is made of these, and the JSON file holds them all. */
export interface Segment {
  readonly scenario: string;
  readonly contender: string;
  /** From 1. */
  readonly round: number;
  readonly figures: Figures;
  readonly sample: Sample;
}

/** Everything that a run found. */
export interface RunResult {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly minutes: number;
  readonly command: string;
  readonly seed: number;
  readonly rounds: number;
  readonly machine: Machine;
  readonly contenders: readonly { readonly name: string; readonly about: string }[];
  readonly scenarios: readonly { readonly name: string; readonly about: string }[];
  /** Contenders and scenarios that could not run, and why. */
  readonly notRun: readonly { readonly name: string; readonly why: string }[];
  readonly segments: readonly Segment[];
  /** What the mesh took in of what Weir was asked. Absent when Weir did not run. */
  readonly exactness?: Exactness;
}

/** What the run ran on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
}

/** Whether every chat left one usage and one record. */
export interface Exactness {
  /** Chats that began in Weir's router and ended, however. */
  readonly chats: number;
  readonly usages: number;
  readonly parkedUsages: number;
  /** Records of these usages. */
  readonly records: number;
}
