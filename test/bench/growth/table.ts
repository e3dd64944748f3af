import { backlog } from "./backlog.ts";
import { comparisons } from "./comparisons.ts";
import type { Stage } from "./stage.ts";
import { swaps } from "./swaps.ts";

/** Every growth run. */
export const STAGES: readonly Stage[] = [...comparisons, backlog, swaps];
