import { grpcScenarios } from "./grpc.ts";
import { createMemoryScenario } from "./memory.ts";
import { openLoopScenarios } from "./open-loop.ts";
import type { Scenario } from "./scenario.ts";
import { startUp } from "./start-up.ts";
import { streamScenarios } from "./streams.ts";
import { surfaceScenarios } from "./surfaces.ts";
import { unaryScenarios } from "./unary.ts";

/** Every scenario, in the order in which a round runs them: saturation first, since others are at half of it. */
export const SCENARIOS: readonly Scenario[] = [
  ...unaryScenarios,
  ...openLoopScenarios,
  ...streamScenarios,
  ...surfaceScenarios,
  ...grpcScenarios,
  createMemoryScenario(2_000, 45),
  startUp,
];
