import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { BENCH_FOLDER, ROOT } from "../setup.ts";
import type { SoakResult } from "../soak.ts";
import { toSvg } from "./chart.ts";
import { toMarkdown } from "./markdown.ts";
import type { RunResult } from "./run-result.ts";

const FOLDER = join(import.meta.dirname, "..");

/** Keeps a run with all its segments. Returns the path from the repository's root. */
export function keepResult(result: RunResult): string {
  return keep(result.startedAt, "", result);
}

/** Keeps a soak with all its samples. Returns the path from the repository's root. */
export function keepSoak(result: SoakResult): string {
  return keep(new Date().toISOString(), "-soak", result);
}

/** Renews what the README shows: RESULTS.md with results.svg, or for growth alone GROWTH.md. Returns what it wrote. */
export function writeResults(result: RunResult, mode: string): string[] {
  if (mode === "growth") return [write("GROWTH.md", `# Growth\n\n${toMarkdown(result)}\n`)];
  return [
    write("results.svg", toSvg(result)),
    write("RESULTS.md", `# Results\n\n![CPU by contender](results.svg)\n\n${toMarkdown(result)}\n`),
  ];
}

function keep(startedAt: string, suffix: string, content: unknown): string {
  const folder = join(BENCH_FOLDER, "results");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${startedAt.slice(0, 19).replaceAll(":", "-")}${suffix}.json`);
  writeFileSync(path, JSON.stringify(content, null, 1));
  return relative(ROOT, path);
}

function write(name: string, text: string): string {
  const path = join(FOLDER, name);
  writeFileSync(path, text);
  return relative(ROOT, path);
}
