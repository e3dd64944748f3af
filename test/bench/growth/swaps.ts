import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { createDirect } from "../contenders/direct.ts";
import { writeDiskPolicy } from "../contenders/disk-policy.ts";
import { startRouter } from "../contenders/disk-router.ts";
import { runRounds } from "../run.ts";
import { createOpenLoop, LATENCY } from "../scenarios/open-loop.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import { serveSnapshots } from "./snapshot-source.ts";
import type { Stage } from "./stage.ts";

const MODELS = 500;
const EACH_MS = 1_000;
/** More than a run takes. */
const MOST_VERSIONS = 400;
const STILL = createOpenLoop({
  name: "growth-no-swaps",
  about: `300 chats a second under a policy of ${MODELS} models that stays`,
  provider: LATENCY,
  rate: 300,
});
const SWAPPED = { ...STILL, name: "growth-swaps", about: "The same while a new version comes each second" };
const DIRECT = createDirect("direct");
const ROUTER = { name: "weir-disk", about: "Weir's router, sent new snapshots that were signed beforehand" };

/** New versions of the policy arrive during load. What sends them is on the load's core: `direct` has the same beside it. */
export const swaps: Stage = {
  name: "growth-swaps",
  about: "Snapshots that are swapped",
  contenders: [{ name: "direct", about: DIRECT.about }, ROUTER],
  scenarios: [STILL, SWAPPED],
  run: async (setup, options) => {
    const policyPort = setup.takePort();
    const { keys, environment, signSnapshot } = writeDiskPolicy(join(setup.folder, "growth-swaps"), setup, {
      models: MODELS,
    });
    const versions = Array.from({ length: MOST_VERSIONS }, (_, index) => signSnapshot(BigInt(index + 2)));
    const source = await serveSnapshots(policyPort, versions);
    try {
      const router = await startRouter(setup, {
        name: ROUTER.name,
        environment: { ...environment, WEIR_POLICY_ADDRESS: `${HOST}:${policyPort}` },
        headers: [`authorization: Bearer ${keys[0]}`],
      });
      try {
        const swapping: Scenario = {
          ...SWAPPED,
          run: (context) => whileSending(source.sendNext, () => STILL.run(context)),
        };
        const contenders = [await DIRECT.start(setup), router];
        return await runRounds(setup, contenders, { ...options, restarts: false, scenarios: [STILL, swapping] });
      } finally {
        await router.program?.stop();
      }
    } finally {
      await source.close();
    }
  },
};

async function whileSending<T>(send: () => void, act: () => Promise<T>): Promise<T> {
  const timer = setInterval(send, EACH_MS);
  try {
    return await act();
  } finally {
    clearInterval(timer);
  }
}
