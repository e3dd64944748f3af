/**
 * Behind `npm run generate`: collects the protos we do not own and makes `gen/` what `buf generate` makes of all protos.
 * With `--check` it leaves `gen/` alone and exits 1 when the protos generate something else now.
 * Needs no network.
 */
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, runBuf } from "./buf.ts";
import { collectThirdParty, listFiles } from "./third-party.ts";

/** A file that is not the same in two folders, and in what way. */
export interface Difference {
  /** Path relative to both folders. */
  readonly path: string;
  readonly state: "missing" | "stray" | "stale";
}

/** What would have to change in `actual` to hold the same files with the same bytes as `expected`, in path order. */
export async function findDifferences(expected: string, actual: string): Promise<Difference[]> {
  const wanted = new Set(await listFiles(expected));
  const found = new Set(await listFiles(actual));
  const differences: Difference[] = [];
  for (const path of [...wanted.union(found)].sort()) {
    if (!found.has(path)) differences.push({ path, state: "missing" });
    else if (!wanted.has(path)) differences.push({ path, state: "stray" });
    else if (!(await readFile(join(expected, path))).equals(await readFile(join(actual, path)))) {
      differences.push({ path, state: "stale" });
    }
  }
  return differences;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
  await collectThirdParty(join(ROOT, "third_party"));
  const folder = await mkdtemp(join(tmpdir(), "weir-generate-"));
  try {
    // buf puts `--output` before the `out: gen` of buf.gen.yaml.
    await runBuf(["generate", "--output", folder]);
    const expected = join(folder, "gen");
    const differences = await findDifferences(expected, join(ROOT, "gen"));
    if (values.check) report(differences);
    else await apply(expected, differences);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Touches only what differs, so that a process which loads `gen/` meanwhile never finds it empty. */
async function apply(expected: string, differences: readonly Difference[]): Promise<void> {
  for (const { path, state } of differences) {
    if (state === "stray") await rm(join(ROOT, "gen", path));
    else await cp(join(expected, path), join(ROOT, "gen", path));
  }
}

function report(differences: readonly Difference[]): void {
  if (differences.length === 0) return;
  for (const { path, state } of differences) console.error(`gen/${path} is ${state}`);
  console.error(
    `Cannot accept gen/: ${differences.length} files are not what proto/ generates, run "npm run generate" and commit`,
  );
  process.exitCode = 1;
}

if (import.meta.main) await main();
