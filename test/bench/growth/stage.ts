import type { Contender, RunningContender } from "../contenders/contender.ts";
import type { Segment } from "../results/run-result.ts";
import { type RunOptions, runRounds } from "../run.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import type { Setup } from "../setup.ts";

/** A part of a run with contenders of its own, which stop when it is over. */
export interface Stage {
  readonly name: string;
  readonly about: string;
  readonly contenders: readonly { readonly name: string; readonly about: string }[];
  readonly scenarios: readonly { readonly name: string; readonly about: string }[];
  run(setup: Setup, options: StageOptions): Promise<Segment[]>;
}

/** How a stage runs. */
export type StageOptions = Omit<RunOptions, "scenarios">;

/** The same scenarios on contenders that differ in size only, interleaved. */
export function createComparison(options: {
  readonly name: string;
  readonly about: string;
  readonly contenders: readonly Contender[];
  readonly scenarios: readonly Scenario[];
}): Stage {
  return {
    ...options,
    run: async (setup, stageOptions) => {
      const running: RunningContender[] = [];
      try {
        for (const contender of options.contenders) {
          const startedAt = performance.now();
          running.push(await contender.start(setup));
          const seconds = (performance.now() - startedAt) / 1000;
          if (seconds > 1) stageOptions.onNote(`started ${contender.name} in ${seconds.toFixed(1)} s`);
        }
        return await runRounds(setup, running, { ...stageOptions, scenarios: options.scenarios });
      } finally {
        // The mesh is the whole run's, and what it took in is counted at its end.
        for (const { program, hasCompanions } of running) if (!hasCompanions) await program?.stop();
      }
    },
  };
}
