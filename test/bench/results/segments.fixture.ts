/** Segments for tests: figures without the sample that they came from. */
import type { Figures } from "../figures.ts";
import type { Sample } from "../measure.ts";
import type { RunResult, Segment } from "./run-result.ts";

/** A sample that says nothing. */
const SAMPLE = { problems: [] as readonly string[], report: { rps: 0 } } as unknown as Sample;

/** The figures of a contender in a scenario, one for each round. */
export function createSegments(scenario: string, contender: string, ...rounds: Figures[]): Segment[] {
  return rounds.map((figures, index) => ({ scenario, contender, round: index + 1, figures, sample: SAMPLE }));
}

/** A run with these segments. */
export function createResult(segments: readonly Segment[]): RunResult {
  const unique = (names: string[]) => [...new Set(names)].map((name) => ({ name, about: `About ${name}` }));
  return {
    startedAt: "2026-01-02T03:04:05.000Z",
    minutes: 1,
    command: "npm run bench",
    seed: 1,
    rounds: 2,
    machine: { cpu: "CPU <1>", cores: 2, memoryGb: 4, kernel: "6.1", node: "v24.0.0" },
    contenders: unique(segments.map(({ contender }) => contender)),
    scenarios: unique(segments.map(({ scenario }) => scenario)),
    notRun: [],
    segments,
  };
}
