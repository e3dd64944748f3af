import { meshOf, type WeirMesh, weir } from "../contenders/weir.ts";
import type { Setup } from "../setup.ts";

/** Runs something with the mesh behind Weir at work all the time, instead of resting while something is measured. */
export async function withCompanionsAtWork<T>(setup: Setup, act: (standing: WeirMesh) => Promise<T>): Promise<T> {
  await weir.start(setup);
  const standing = meshOf.get(setup) as WeirMesh;
  const before = setup.companions;
  const nothing = async () => undefined;
  setup.companions = [{ pids: standing.companions.pids, pause: nothing, resume: nothing, wake: nothing }];
  try {
    return await act(standing);
  } finally {
    setup.companions = before;
  }
}
