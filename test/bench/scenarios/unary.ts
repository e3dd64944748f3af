import type { Load } from "../load.ts";
import { PROMPT_SIZES } from "../prompts.ts";
import { CONNECTIONS, measureChats, putLoad, type Scenario, toCommonFigures } from "./scenario.ts";

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
    warmUp: (context) => putLoad(context, name, { bytes }, createLoad(context.seconds)),
    run: async (context) => {
      const sample = await measureChats(context, name, { bytes }, createLoad(context.seconds));
      return { sample, figures: toCommonFigures(sample) };
    },
  };
}

function createLoad(seconds: number): Load {
  return { mode: "closed", connections: CONNECTIONS, seconds };
}
