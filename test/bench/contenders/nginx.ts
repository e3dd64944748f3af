import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOST } from "../../../cli/up/layout.ts";
import { findCommand } from "../machine/find-command.ts";
import { CORES, startProgram } from "../setup.ts";
import type { Contender } from "./contender.ts";

/** nginx as a pure relay: one worker, kept-alive connections to the provider, nothing buffered to disk or held back. */
export const nginx: Contender = {
  name: "nginx",
  about: "nginx as a pure relay, 1 worker",
  findObstacle: () => (findCommand("nginx") ? undefined : "nginx is not installed"),
  start: async (setup) => {
    const port = setup.takePort();
    const folder = join(setup.folder, "nginx");
    mkdirSync(folder);
    const config = join(folder, "nginx.conf");
    writeFileSync(config, writeConfig(folder, port, setup.provider.port));
    const program = await startProgram(setup, {
      name: "nginx",
      core: CORES.gateway,
      port,
      command: findCommand("nginx") as string,
      args: ["-p", folder, "-c", config, "-e", join(folder, "error.log")],
      stopSignal: "SIGQUIT",
    });
    return { name: "nginx", program, port, headers: ["authorization: Bearer none"] };
  },
};

function writeConfig(folder: string, port: number, providerPort: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  return `
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 18000; }
http {
  access_log off;
  ${temporary}
  keepalive_requests 1000000000;
  client_max_body_size 8m;
  client_body_buffer_size 1m;
  upstream provider { server ${HOST}:${providerPort}; keepalive 4096; keepalive_requests 1000000000; }
  server {
    listen ${HOST}:${port} backlog=4096;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`;
}
