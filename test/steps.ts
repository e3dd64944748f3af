import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** The root of the repository. */
const ROOT = join(import.meta.dirname, "..");

/** One thing that is checked by running a program. */
export interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The program is vitest: its tests are counted. */
  readonly isVitest?: boolean;
}

/** How a step went. */
export interface StepResult {
  readonly name: string;
  readonly succeeded: boolean;
  /** Tests that passed and failed. A step that is no vitest run, or one that broke before its tests ran, counts as one failure. */
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Longest that one step may take. */
const STEP_TIMEOUT_MS = 30 * 60_000;

/** A step that runs vitest on a project of vitest.config.ts, narrowed down by further arguments. */
export function createVitestStep(name: string, project: string, narrowing: readonly string[] = []): Step {
  return {
    name,
    command: "vitest",
    args: ["run", "--project", project, "--passWithNoTests", ...narrowing],
    isVitest: true,
  };
}

/**
 * Runs the steps one after the other, all of them whatever happens, and prints a line for each with its result and time. What a step
 * says is shown when it failed.
 */
export async function runSteps(steps: readonly Step[]): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    const started = performance.now();
    const result = await runStep(step);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const counts = step.isVitest ? `  ${describeCounts(result)}` : "";
    console.log(
      `${result.succeeded ? "ok  " : "FAIL"}  ${step.name.padEnd(24)} ${`${seconds} s`.padStart(8)}${counts}`,
    );
    results.push(result);
  }
  return results;
}

/** In words how many tests passed, failed and were skipped. */
export function describeCounts({ passed, failed, skipped }: Pick<StepResult, "passed" | "failed" | "skipped">): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

async function runStep(step: Step): Promise<StepResult> {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  try {
    const report = join(folder, "report.json");
    const args = step.isVitest
      ? [...step.args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
      : step.args;
    const { succeeded, output } = await run(step.command, args);
    const counts = step.isVitest ? readCounts(report) : { passed: 0, failed: 0, skipped: 0 };
    if (!succeeded) {
      console.log(output.trimEnd());
    }
    return {
      name: step.name,
      succeeded,
      ...counts,
      // Broken without a failed test, such as an error outside of all tests: still a failure.
      failed: succeeded ? counts.failed : Math.max(1, counts.failed),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readCounts(report: string): { passed: number; failed: number; skipped: number } {
  try {
    const json = JSON.parse(readFileSync(report, "utf8")) as Record<string, number>;
    return {
      passed: json.numPassedTests ?? 0,
      failed: json.numFailedTests ?? 0,
      skipped: (json.numPendingTests ?? 0) + (json.numTodoTests ?? 0),
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function run(command: string, args: readonly string[]): Promise<{ succeeded: boolean; output: string }> {
  return new Promise((resolve) => {
    // Started by hand instead of by npm, the programs of node_modules are not on the PATH yet.
    const path = `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, PATH: path, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: STEP_TIMEOUT_MS,
    });
    const parts: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => parts.push(part));
    child.stderr.on("data", (part: Buffer) => parts.push(part));
    child.once("error", (error) => resolve({ succeeded: false, output: error.message }));
    child.once("close", (code) => resolve({ succeeded: code === 0, output: Buffer.concat(parts).toString("utf8") }));
  });
}
