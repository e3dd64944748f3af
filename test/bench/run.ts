import { checkAnswer } from "./check-answer.ts";
import type { RunningContender } from "./contenders/contender.ts";
import type { Segment } from "./results/run-result.ts";
import { createRandom, shuffle } from "./results/statistics.ts";
import type { Scenario, ScenarioContext } from "./scenarios/scenario.ts";
import type { Setup } from "./setup.ts";

/** How a run goes. */
export interface RunOptions {
  readonly scenarios: readonly Scenario[];
  readonly rounds: number;
  readonly seed: number;
  /** Whether contenders start anew before each further round: two processes of one program differ for as long as they live. */
  readonly restarts: boolean;
  /**
   * How long a process runs at least before its very first segment: before that V8 has not compiled and optimised all of its path. The CPU of a
   * request falls for some 20 s of load, of the relay as of Weir.
   */
  readonly firstWarmupSeconds: number;
  /** No segment is longer, unless it would say nothing then; by default each has its own length. */
  readonly seconds?: number;
  /** Called after each segment. */
  readonly onSegment: (segment: Segment) => void;
  /** Called with what else a reader wants to know meanwhile. */
  readonly onNote: (text: string) => void;
}

/** How long a process runs before its first segment of a further scenario: half a segment, at most this. */
const WARMUP_SECONDS = 1;

/**
 * Runs the scenarios on the contenders, interleaved: round by round, in each scenario of a round the contenders in an order of their own,
 * so that what changes on the machine meanwhile meets all of them alike.
 */
export async function runRounds(
  setup: Setup,
  contenders: readonly RunningContender[],
  options: RunOptions,
): Promise<Segment[]> {
  // Before the first load: one that does not work at all is not measured.
  for (const contender of contenders) await checkAnswer(contender, { bytes: 400 });
  const random = createRandom(options.seed);
  const segments: Segment[] = [];
  const find: ScenarioContext["find"] = (scenario, contender) =>
    segments.findLast((segment) => segment.scenario === scenario && segment.contender === contender)?.figures;
  const warm = new Set<string>();
  for (let round = 1; round <= options.rounds; round++) {
    if (round > 1 && options.restarts) {
      for (const contender of contenders) {
        await contender.program?.restart();
        await contender.waitReady?.();
      }
      warm.clear();
    }
    for (const scenario of options.scenarios) {
      if (round > (scenario.rounds ?? options.rounds)) continue;
      const taking = contenders.filter((contender) => scenario.takes?.(contender) ?? true);
      for (const contender of shuffle(taking, random)) {
        const { leastSeconds = 0 } = scenario;
        const seconds = Math.max(Math.min(options.seconds ?? scenario.seconds, scenario.seconds), leastSeconds);
        const context = { setup, contender, seconds, find };
        if (scenario.startsAnew) {
          await contender.program?.restart();
          await contender.waitReady?.();
        } else if (!warm.has(`${contender.name} ${scenario.name}`)) {
          const isFirst = !warm.has(contender.name);
          warm.add(contender.name).add(`${contender.name} ${scenario.name}`);
          const length = isFirst
            ? Math.max(options.firstWarmupSeconds, seconds)
            : Math.min(seconds / 2, WARMUP_SECONDS);
          await scenario.warmUp?.({ ...context, seconds: length });
        }
        const segment = { scenario: scenario.name, contender: contender.name, round, ...(await scenario.run(context)) };
        segments.push(segment);
        options.onSegment(segment);
      }
    }
  }
  return segments;
}
