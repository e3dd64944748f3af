import { join } from "node:path";
import { NODE_FLAGS } from "../../../services/shared/node-flags.ts";
import { CORES, nodeArguments, startProgram } from "../setup.ts";
import type { Contender } from "./contender.ts";
import { writeDiskPolicy } from "./disk-policy.ts";

/** Weir's router with something left out; see `stripped-router.ts`. */
export function createStrippedRouter(options: {
  readonly name: string;
  readonly about: string;
  readonly hasLimit: boolean;
  readonly hasMetrics: boolean;
}): Contender {
  const { name, about, hasLimit, hasMetrics } = options;
  return {
    name,
    about,
    start: async (setup) => {
      const folder = join(setup.folder, name);
      const { keys } = writeDiskPolicy(folder, setup, { hasLimit });
      const port = setup.takePort();
      const program = await startProgram(setup, {
        name,
        core: CORES.gateway,
        port,
        ...nodeArguments(
          ...NODE_FLAGS,
          join(import.meta.dirname, "stripped-router.ts"),
          String(port),
          folder,
          hasMetrics ? "with-metrics" : "without-metrics",
        ),
      });
      // What the parts cost is seen on chat completions: on other surfaces it is the same.
      return { name, program, port, headers: [`authorization: Bearer ${keys[0]}`], surfaces: {} };
    },
  };
}
