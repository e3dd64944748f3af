import { createServer } from "node:net";
import { findTakenPorts } from "../cli/up/free-port.ts";
import { createPorts, HOST } from "../cli/up/layout.ts";

/** First ports of ranges for a mesh: below 30000, since the system takes the ports of outgoing connections from 32768 on. */
const FIRST = 15_000;
const RANGE = 50;
const RANGES = 300;

let next = Math.floor(Math.random() * RANGES);

/**
 * Finds a first port from which all ports of a mesh are free. The range is this process's until it ends: no other test of the machine gets it,
 * also while what was started on it is down, to be started again. Throws when there is none.
 */
export async function getFreeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < RANGES; attempt++) {
    next = (next + 1) % RANGES;
    const base = FIRST + RANGE * next;
    if ((await claim(base)) && (await findTakenPorts(createPorts(base))).length === 0) return base;
  }
  throw new Error(`Cannot find free ports: every range from ${FIRST} on is in use`);
}

/** Listens on the last port of a range, which no mesh has a use for; the system takes it back however this process ends. */
function claim(base: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(false));
    server.listen({ host: HOST, port: base + RANGE - 1, exclusive: true }, () => resolve(true));
    server.unref();
  });
}
