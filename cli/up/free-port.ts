import { createServer } from "node:net";
import { createPorts, HOST, type PortName, type Ports } from "./layout.ts";

/** Tells whether a port of the loopback address can be listened on now. It may be taken a moment later. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: HOST, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Lists the ports of a mesh that something else listens on, with what the mesh wants them for. */
export async function findTakenPorts(ports: Ports): Promise<{ name: PortName; port: number }[]> {
  const taken: { name: PortName; port: number }[] = [];
  for (const [name, port] of Object.entries(ports) as [PortName, number][]) {
    if (!(await isPortFree(port))) {
      taken.push({ name, port });
    }
  }
  return taken;
}

/**
 * Finds a first port from which all ports of a mesh are free, for tests. Stays below 30000, since the system takes the ports of
 * outgoing connections from 32768 on. Throws when 200 tries find none.
 */
export async function getFreeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const base = 15_000 + 50 * Math.floor(Math.random() * 300);
    if ((await findTakenPorts(createPorts(base))).length === 0) {
      return base;
    }
  }
  throw new Error("Cannot find free ports: 200 ranges between 15000 and 30000 were all in use");
}
