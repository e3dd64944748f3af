import type { Contender } from "./contender.ts";

/** No gateway at all: what everything else is compared with. It runs twice; what lies between the two is noise. */
export function createDirect(name: string): Contender {
  return {
    name,
    about: "no gateway",
    start: async ({ provider }) => ({ name, port: provider.port, headers: ["authorization: Bearer none"] }),
  };
}
