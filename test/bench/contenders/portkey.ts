import { existsSync } from "node:fs";
import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { CORES, nodeArguments, run, startProgram } from "../setup.ts";
import type { Contender } from "./contender.ts";

const PEERS = join(import.meta.dirname, "../peers");
const MAIN = join(PEERS, "node_modules/@portkey-ai/gateway/build/start-server.js");

/** The gateway that many compare with, on the same Node, with the packages of its own lock file (see peers/package.json). */
export const portkey: Contender = {
  name: "portkey",
  about: "@portkey-ai/gateway 1.15.2, headless",
  findObstacle: async () => {
    if (!existsSync(MAIN)) {
      await run("npm", ["ci", "--prefix", PEERS, "--ignore-scripts", "--no-audit", "--no-fund"], CORES.load).catch(
        () => undefined,
      );
    }
    return existsSync(MAIN) ? undefined : "npm ci in test/bench/peers did not work";
  },
  start: async (setup) => {
    const port = setup.takePort();
    const program = await startProgram(setup, {
      name: "portkey",
      core: CORES.gateway,
      port,
      ...nodeArguments(MAIN, "--headless", `--port=${port}`),
    });
    const toHeaders = (provider: string) => [
      "authorization: Bearer none",
      `x-portkey-provider: ${provider}`,
      `x-portkey-custom-host: http://${HOST}:${setup.provider.port}/v1`,
    ];
    const headers = toHeaders("anthropic");
    return {
      name: "portkey",
      program,
      port,
      headers: toHeaders("openai"),
      surfaces: {
        messages: { headers },
        responses: {},
        embeddings: {},
        translation: { format: "chat-completions", headers },
      },
    };
  },
};
