import { PROMPT_BYTES } from "../prompts.ts";
import { runRounds } from "../run.ts";
import { createOpenLoop, LATENCY } from "../scenarios/open-loop.ts";
import { CONNECTIONS, putLoad } from "../scenarios/scenario.ts";
import { createSaturation } from "../scenarios/unary.ts";
import { withCompanionsAtWork } from "./companions-at-work.ts";
import type { Stage } from "./stage.ts";

const bytes = PROMPT_BYTES;
const SATURATION = createSaturation({
  name: "growth-backlog",
  about: "Saturation, prompts of 4.5 KB, before and after metering was down and the spool grew",
  bytes,
});
const OPEN_LOOP = createOpenLoop({
  name: "growth-backlog-open",
  about: "300 chats a second, before and after metering was down and the spool grew",
  provider: LATENCY,
  rate: 300,
});
const EARLY = { name: "backlog-early", about: "Weir with an empty spool" };
const LATE = { name: "backlog-late", about: "Weir after half a minute at saturation with metering down" };
const FILL_SECONDS = 30;

/** Metering is down and the spool grows: what a chat costs must stay. In the end metering is up again, and the backlog is taken in. */
export const backlog: Stage = {
  name: "growth-backlog",
  about: "A spool that is not emptied",
  contenders: [EARLY, LATE],
  scenarios: [SATURATION, OPEN_LOOP],
  run: (setup, options) =>
    withCompanionsAtWork(setup, async ({ mesh, router, companions }) => {
      const scenarios = [SATURATION, OPEN_LOOP];
      const early = await runRounds(setup, [{ ...router, name: EARLY.name }], {
        ...options,
        restarts: false,
        scenarios,
      });
      await mesh.processes.metering.stop();
      try {
        const fill = { mode: "closed", connections: CONNECTIONS, seconds: FILL_SECONDS } as const;
        await putLoad({ setup, contender: router }, "growth-backlog", { bytes }, fill);
        const late = await runRounds(setup, [{ ...router, name: LATE.name }], {
          ...options,
          restarts: false,
          scenarios,
        });
        return [...early, ...late];
      } finally {
        await mesh.processes.metering.restart();
        await companions.resume();
      }
    }),
};
