import { findTakenPorts } from "../cli/up/free-port.ts";
import { createPorts } from "../cli/up/layout.ts";

/** First ports of ranges for a mesh: below 30000, since the system takes the ports of outgoing connections from 32768 on. */
const FIRST = 15_000;
const RANGE = 50;
const RANGES = 300;
/** Each worker of vitest has every so many-th range for itself: what it found free stays free until it starts what it looks for. */
const WORKERS = 4;

const worker = Number(process.env.VITEST_POOL_ID ?? 0) % WORKERS;
let next = Math.floor((Math.random() * RANGES) / WORKERS);

/** Finds a first port from which all ports of a mesh are free; never the same one twice in a row. Throws when there is none. */
export async function getFreeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < RANGES / WORKERS; attempt++) {
    next = (next + 1) % Math.floor(RANGES / WORKERS);
    const base = FIRST + RANGE * (next * WORKERS + worker);
    if ((await findTakenPorts(createPorts(base))).length === 0) return base;
  }
  throw new Error(`Cannot find free ports: every range from ${FIRST} on is in use`);
}
