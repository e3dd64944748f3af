// `npm test`: the checks, then what runs real processes. Runs everything and fails at the end; the last line counts the tests.
import { CHECK_STEPS } from "./check-steps.ts";
import { createVitestStep, describeCounts, runSteps } from "./steps.ts";

// In one step, so that a worker that has no file of one folder left goes on with the next.
const results = await runSteps([...CHECK_STEPS, createVitestStep("whole meshes", "mesh")]);
const sum = (of: "passed" | "failed" | "skipped") => results.reduce((total, result) => total + result[of], 0);
const failed = results.filter(({ succeeded }) => !succeeded);
if (failed.length > 0) {
  console.log(`Failed: ${failed.map(({ name }) => name).join(", ")}`);
  process.exitCode = 1;
}
console.log(describeCounts({ passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") }));
