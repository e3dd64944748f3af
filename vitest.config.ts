import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const env = {
  // Tests start some hundred services; all of them share what Node compiled for the first.
  NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/compile-cache"),
  TMPDIR: findMemory() ?? tmpdir(),
};

/**
 * A folder in memory, where the machine has one with room for the meshes that run at once. Each PostgreSQL alone writes 100 MB before it is
 * asked anything; on a disk most tests would wait for that longer than for all else. What a killed process wrote is there as it is on a disk.
 */
function findMemory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize > 4 * 1024 ** 3 ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

/** Begun last, each of these would run on alone when all others have ended. */
const LONGEST = ["journeys/main-job", "faults/supervisor-kill", "faults/metering-kill", "journeys/operator"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLongest = ({ moduleId }: TestSpecification) => LONGEST.some((name) => moduleId.includes(`/test/${name}.`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          // Unit tests stand beside their file. Those of a worker share its modules, which is half of their time: none changes what is
          // not its own, and each passes in any order (`npx vitest run --project unit --sequence.shuffle.files`).
          name: "unit",
          include: ["{cli,services,proto}/**/*.test.ts", "test/*.test.ts", "test/bench/**/*.test.ts"],
          isolate: false,
          maxWorkers: 2,
          testTimeout: 30_000,
          // Hooks start and stop PostgreSQL and NATS.
          hookTimeout: 60_000,
          env,
        },
      },
      {
        test: {
          // What starts a whole mesh stands in folders of test/ and has time: three of its files run at once, since they mostly wait for
          // each other's processes, and none of them judges how fast anything is.
          name: "mesh",
          include: ["test/{journeys,conformance,bad-input,faults,invariants}/**/*.test.ts"],
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 180_000,
          env,
        },
      },
    ],
  },
});
