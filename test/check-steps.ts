import { createVitestStep, type Step } from "./steps.ts";

/** What `npm run check` runs, in this order: what is fast and what others need comes first. */
export const CHECK_STEPS: readonly Step[] = [
  { name: "format", command: "biome", args: ["format", "."] },
  { name: "lint", command: "biome", args: ["lint", "--error-on-warnings", "."] },
  { name: "types", command: "tsc", args: ["-p", "."] },
  // Collects the third-party protos too, which the buf steps below import.
  { name: "generated code current", command: "node", args: ["proto/generate.ts", "--check"] },
  { name: "buf lint", command: "buf", args: ["lint"] },
  { name: "buf format", command: "buf", args: ["format", "proto", "--diff", "--exit-code"] },
  { name: "buf breaking", command: "buf", args: ["breaking", "proto", "--against", "proto/released.binpb"] },
  createVitestStep("architecture rules", "unit", ["test/architecture.test.ts"]),
  createVitestStep("unit tests", "unit", ["--exclude", "test/architecture.test.ts"]),
];
