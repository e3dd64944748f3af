import { createServer } from "node:net";
import { HOST } from "./layout.ts";

/** Tells whether a port of the loopback address can be listened on now. It may be taken a moment later. */
function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: HOST, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Lists the ports of a mesh that something else listens on, with what the mesh wants them for. */
export async function findTakenPorts(
  ports: Readonly<Record<string, number>>,
): Promise<{ name: string; port: number }[]> {
  const taken: { name: string; port: number }[] = [];
  for (const [name, port] of Object.entries(ports)) {
    if (!(await isPortFree(port))) {
      taken.push({ name, port });
    }
  }
  return taken;
}
