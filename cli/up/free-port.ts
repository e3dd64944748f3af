import { createServer } from "node:net";
import { HOST, type PortName, type Ports } from "./layout.ts";

/** Tells whether a port of the loopback address can be listened on now. It may be taken a moment later. */
function isPortFree(port: number): Promise<boolean> {
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
