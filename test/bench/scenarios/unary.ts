import type { Figures } from "../figures.ts";
import type { Load } from "../load.ts";
import type { Sample } from "../measure.ts";
import { PROMPT_SIZES, type PromptOptions } from "../prompts.ts";
import {
  CONNECTIONS,
  measureChats,
  putLoad,
  type Scenario,
  type ScenarioContext,
  toCommonFigures,
} from "./scenario.ts";

/** Answers in one piece at saturation: 64 callers, each asking again as soon as it has its answer. */
export const unaryScenarios: readonly Scenario[] = PROMPT_SIZES.map(([size, bytes]) =>
  createSaturation({
    name: `unary-${size}`,
    about: `Saturation: answers in one piece, ${CONNECTIONS} connections, prompts of ${size} KB`,
    bytes,
  }),
);

/** Saturation with prompts of a size. */
export function createSaturation({ name, about, bytes }: { name: string; about: string; bytes: number }): Scenario {
  return {
    name,
    about,
    seconds: 3,
    warmUp: (context) => putLoad(context, name, { bytes }, toSaturation(context.seconds)),
    run: (context) => runSaturation(context, name, { bytes }),
  };
}

/** Measures a contender at saturation with these prompts. */
export async function runSaturation(
  context: ScenarioContext,
  name: string,
  prompt: PromptOptions,
): Promise<{ sample: Sample; figures: Figures }> {
  const sample = await measureChats(context, name, prompt, toSaturation(context.seconds));
  return { sample, figures: toCommonFigures(sample) };
}

/** The load of saturation. */
export function toSaturation(seconds: number): Load {
  return { mode: "closed", connections: CONNECTIONS, seconds };
}
