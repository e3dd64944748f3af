import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { HOST, type Ports, REGIONS, type Region } from "./layout.ts";
import type { ProcessOptions } from "./managed-process.ts";
import { createHubConfig, createLeafConfig, NATS_USERS, type NatsUser } from "./nats-config.ts";
import { readOrCreatePasswords, writeSecretFile } from "./secret-file.ts";

/** The development mesh's NATS servers: a hub, and a leaf for each region. */
export interface Nats {
  /** For the supervisor; the hub is started before the leaves, though either may be gone while the other runs. */
  readonly hub: ProcessOptions;
  readonly leaves: Readonly<Record<Region, ProcessOptions>>;
  /** The URL with which a user connects to its server, its password included. */
  url(user: NatsUser): string;
}

/** Options of {@link prepareNats}. */
export interface NatsOptions {
  /** Folder of config files, passwords and streams. */
  readonly directory: string;
  readonly ports: Ports;
  /** Path of the program, see `obtainNatsServer`. */
  readonly program: string;
}

/** Writes the config files of the hub and the leaves (mode 0600: they hold passwords) and says how to start them. */
export function prepareNats(options: NatsOptions): Nats {
  const { directory, ports, program } = options;
  const passwords = readOrCreatePasswords(join(directory, "passwords.json"), NATS_USERS);

  const prepare = (server: "hub" | Region): ProcessOptions => {
    const port = ports[`nats-${server}`];
    const serverOptions = {
      port,
      leafLinkPort: ports["nats-hub-leaf-link"],
      storeDir: join(directory, server),
      passwords,
    };
    const config = join(directory, `${server}.conf`);
    writeSecretFile(
      config,
      server === "hub" ? createHubConfig(serverOptions) : createLeafConfig(server, serverOptions),
    );
    return {
      name: `nats-${server}`,
      command: program,
      args: ["--config", config],
      environment: { PATH: process.env.PATH ?? "" },
      detail: `${HOST}:${port}`,
      ready: () => greets(port),
    };
  };

  return {
    hub: prepare("hub"),
    leaves: Object.fromEntries(REGIONS.map((region) => [region, prepare(region)])) as Record<Region, ProcessOptions>,
    url(user) {
      const region = REGIONS.find((name) => user.endsWith(`-${name}`) && !user.startsWith("link-"));
      return `nats://${user}:${passwords[user]}@${HOST}:${ports[`nats-${region ?? "hub"}`]}`;
    },
  };
}

/** Tells whether a NATS server greets on a port with JetStream on: its INFO line comes before anything is asked. */
export function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let greeting = "";
    const socket = connectSocket({ host: HOST, port });
    const settle = (ready: boolean) => {
      socket.destroy();
      resolve(ready);
    };
    socket.setTimeout(2_000, () => settle(false));
    socket.once("error", () => settle(false));
    socket.once("close", () => settle(false));
    socket.on("data", (data) => {
      greeting += data.toString("latin1");
      if (greeting.includes("\r\n")) {
        settle(greeting.startsWith("INFO ") && greeting.includes('"jetstream":true'));
      }
    });
  });
}
