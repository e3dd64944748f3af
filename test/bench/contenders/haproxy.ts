import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { findCommand } from "../machine/find-command.ts";
import { CORES, startProgram } from "../setup.ts";
import type { Contender } from "./contender.ts";

/** HAProxy as a pure relay: one thread. Without `http-no-delay` it holds small events back for tens of milliseconds. */
export const haproxy: Contender = {
  name: "haproxy",
  about: "HAProxy as a pure relay, 1 thread",
  findObstacle: () => (findCommand("haproxy") ? undefined : "haproxy is not installed"),
  start: async (setup) => {
    const port = setup.takePort();
    const folder = join(setup.folder, "haproxy");
    mkdirSync(folder);
    const config = join(folder, "haproxy.cfg");
    writeFileSync(config, writeConfig(port, setup.provider.port));
    const program = await startProgram(setup, {
      name: "haproxy",
      core: CORES.gateway,
      port,
      command: findCommand("haproxy") as string,
      args: ["-db", "-f", config],
      stopSignal: "SIGINT",
    });
    return { name: "haproxy", program, port, headers: ["authorization: Bearer none"] };
  },
};

function writeConfig(port: number, providerPort: number): string {
  return `
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend callers
  bind ${HOST}:${port} backlog 4096
  default_backend provider
backend provider
  server provider ${HOST}:${providerPort} pool-purge-delay 60s
`;
}
