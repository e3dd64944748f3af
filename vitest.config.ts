import { defineConfig } from "vitest/config";

// Unit tests stand beside their file. What starts processes stands in test/, and its files run one after the other: a whole mesh
// has a dozen processes, and two of them on two cores would make each other late.
const wholeMesh = (name: string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["{cli,services,proto}/**/*.test.ts", "test/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      ...["journeys", "conformance", "bad-input", "faults", "invariants"].map(wholeMesh),
    ],
  },
});
