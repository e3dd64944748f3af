import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { NODE_FLAGS } from "../../../services/shared/node-flags.ts";
import { CORES, nodeArguments, startProgram } from "../setup.ts";
import type { Contender } from "./contender.ts";

/** The yardstick. A second one shows how much CPU per request differs between two that are the same. */
export function createRelay(name: string): Contender {
  return {
    name,
    about: "bare relay: node:http and undici dispatch",
    start: async (setup) => {
      const port = setup.takePort();
      const program = await startProgram(setup, {
        name,
        core: CORES.gateway,
        port,
        ...nodeArguments(
          ...NODE_FLAGS,
          join(import.meta.dirname, "../relay.ts"),
          String(port),
          `http://${HOST}:${setup.provider.port}`,
        ),
      });
      return { name, program, port, headers: ["authorization: Bearer none"] };
    },
  };
}
