// `npm run check`: everything that needs no running mesh. Runs all steps and fails at the end.
import { CHECK_STEPS } from "./check-steps.ts";
import { runSteps } from "./steps.ts";

const results = await runSteps(CHECK_STEPS);
const failed = results.filter(({ succeeded }) => !succeeded);
if (failed.length > 0) {
  console.log(`Failed: ${failed.map(({ name }) => name).join(", ")}`);
  process.exitCode = 1;
}
