import { createDirect } from "../contenders/direct.ts";
import { publishPolicy } from "../contenders/weir.ts";
import type { Segment } from "../results/run-result.ts";
import { runRounds } from "../run.ts";
import { createOpenLoop, LATENCY } from "../scenarios/open-loop.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import { withCompanionsAtWork } from "./companions-at-work.ts";
import type { Stage } from "./stage.ts";

const MODELS = 500;
const EACH_MS = 1_000;
const STILL = createOpenLoop({
  name: "growth-no-swaps",
  about: `300 chats a second under a policy of ${MODELS} models that stays`,
  provider: LATENCY,
  rate: 300,
});
const SWAPPED = { ...STILL, name: "growth-swaps", about: "The same while a new version is published each second" };
const DIRECT = createDirect("direct");

/** New versions of the policy arrive during load, on the load's core too: `direct` has the same beside it. */
export const swaps: Stage = {
  name: "growth-swaps",
  about: "Snapshots that are swapped",
  contenders: [
    { name: "direct", about: DIRECT.about },
    { name: "weir", about: "Weir, everything on" },
  ],
  scenarios: [STILL, SWAPPED],
  run: (setup, options) =>
    withCompanionsAtWork(setup, async ({ mesh, router }): Promise<Segment[]> => {
      let salt = 0;
      const publish = () => {
        salt += 1;
        return publishPolicy(mesh, setup.provider.port, { models: MODELS, salt });
      };
      await publish();
      const swapping: Scenario = { ...SWAPPED, run: (context) => whilePublishing(publish, () => STILL.run(context)) };
      const contenders = [await DIRECT.start(setup), router];
      return await runRounds(setup, contenders, { ...options, restarts: false, scenarios: [STILL, swapping] });
    }),
};

async function whilePublishing<T>(publish: () => Promise<void>, act: () => Promise<T>): Promise<T> {
  let last: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    last = last.then(publish);
  }, EACH_MS);
  try {
    return await act();
  } finally {
    clearInterval(timer);
    await last;
  }
}
