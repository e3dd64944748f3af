import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Tests start some hundred services; all of them share what Node compiled for the first.
const env = { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/compile-cache") };

// Unit tests stand beside their file. What starts a whole mesh stands in test/ and has time: two of its files run at once, since they
// mostly wait for each other's processes, and none of them judges how fast anything is.
const wholeMesh = (name: string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: 120_000,
    hookTimeout: 180_000,
    env,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["{cli,services,proto}/**/*.test.ts", "test/*.test.ts", "test/bench/**/*.test.ts"],
          testTimeout: 30_000,
          env,
        },
      },
      ...["journeys", "conformance", "bad-input", "faults", "invariants"].map(wholeMesh),
    ],
  },
});
