import { FIGURES, type FigureName } from "../figures.ts";
import { getCompared, getNoiseFloor, getSpread, isTie } from "./comparison.ts";
import type { RunResult, Segment } from "./run-result.ts";
import { judge, PORTKEY_SLEEP_MICROS, type Verdict } from "./verdicts.ts";

/** What is shown of a scenario, in this order, as far as it was measured. Times are shown as added ones. */
const SHOWN: readonly FigureName[] = [
  "cpu",
  "perCore",
  "cpuPerEvent",
  "eventsPerSecond",
  "rate",
  "firstByteP50",
  "firstByteP95",
  "firstByteP99",
  "totalP50",
  "totalP95",
  "totalP99",
  "firstTokenP50",
  "firstTokenP95",
  "firstTokenP99",
  "eventDelayP50",
  "eventDelayP95",
  "eventDelayP99",
  "rssIdleMb",
  "rssOpenMb",
  "kbPerStream",
  "kbPerStreamMinute",
  "startMs",
  "idleCpuMs",
  "loopDelayP99Ms",
  "rssMb",
];

/** A run as a page of Markdown: where it ran, the verdicts, a table for each scenario, and what speaks against it. */
export function toMarkdown(result: RunResult): string {
  const { machine, segments } = result;
  return [
    `${result.startedAt.slice(0, 16).replace("T", " ")} UTC, ${Math.round(result.minutes)} minutes, ${result.rounds} rounds, seed ${result.seed}: \`${result.command}\``,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB; Linux ${machine.kernel}; Node ${machine.node}`,
    "Each figure is the median over the rounds. `×` is the ratio to `relay` in the same round, with least and most; `+` is the time added to that of `direct` in the same round; `=` marks what lies within the noise, which is how far two that are the same were apart.",
    toVerdictTable(judge(segments, result.exactness)),
    ...result.scenarios.map(({ name, about }) => toScenario(result, name, about)),
    toProblems(segments),
    ...(result.notRun.length === 0
      ? []
      : [`Not run:\n${result.notRun.map(({ name, why }) => `- ${name}: ${why}`).join("\n")}`]),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** The musts with what was measured; those that this run did not measure are only named. */
function toVerdictTable(verdicts: readonly Verdict[]): string {
  const measured = verdicts.filter(({ result }) => result !== "open");
  const open = verdicts.filter(({ result }) => result === "open").map(({ must }) => must);
  return [
    ...(measured.length === 0
      ? []
      : [
          toTable(
            ["must", "target", "measured", ""],
            measured.map(({ must, target, measured: text, result }) => [must, target, text, result]),
          ),
        ]),
    ...(open.length === 0 ? [] : [`Not measured in this run: ${open.join("; ")}.`]),
  ].join("\n\n");
}

function toScenario({ contenders, segments }: RunResult, scenario: string, about: string): string {
  const ran = contenders.filter(({ name }) =>
    segments.some((segment) => segment.scenario === scenario && segment.contender === name),
  );
  if (ran.length === 0) return "";
  const columns = SHOWN.filter((figure) => ran.some(({ name }) => getSpread(segments, scenario, name, figure)));
  const rows = ran.map(({ name }) => [name, ...columns.map((figure) => toCell(segments, scenario, name, figure))]);
  const floors = columns.flatMap((figure) => {
    const floor = getNoiseFloor(segments, scenario, figure);
    if (floor === undefined) return [];
    const isRatio = FIGURES[figure].compared === "ratio";
    return [`${FIGURES[figure].label} ±${isRatio ? `${(floor * 100).toFixed(1)} %` : `${floor.toFixed(0)} µs`}`];
  });
  return [
    `### ${scenario}\n\n${about}.`,
    toTable(["", ...columns.map((figure) => FIGURES[figure].label)], rows),
    ...(floors.length === 0 ? [] : [`Noise: ${floors.join(", ")}.`]),
  ].join("\n\n");
}

function toCell(segments: readonly Segment[], scenario: string, contender: string, figure: FigureName): string {
  const { digits, compared } = FIGURES[figure];
  const spread = getSpread(segments, scenario, contender, figure);
  if (spread === undefined) return "";
  const own = spread.median.toFixed(digits);
  const comparison = getCompared(segments, scenario, contender, figure);
  if (comparison === undefined) return own;
  const tie = isTie(comparison, getNoiseFloor(segments, scenario, figure), figure) ? " =" : "";
  if (compared === "ratio") {
    const { median, min, max } = comparison;
    return `${own} · ×${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})${tie}`;
  }
  if (contender === "direct") return `${own}`;
  const added = `+${comparison.median.toFixed(0)}${tie}`;
  return contender === "portkey" && figure.startsWith("firstToken")
    ? `${added} (less its sleep +${(comparison.median - PORTKEY_SLEEP_MICROS).toFixed(0)})`
    : added;
}

function toProblems(segments: readonly Segment[]): string {
  const lines = segments.flatMap(({ scenario, contender, round, sample }) =>
    sample.problems.length === 0 ? [] : [`- ${scenario}, ${contender}, round ${round}: ${sample.problems.join("; ")}`],
  );
  return lines.length === 0
    ? `All ${segments.length} segments are free of objections.`
    : `${lines.length} of ${segments.length} segments have something against them; all are in the figures above:\n\n${lines.join("\n")}`;
}

function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

/** One line while the run goes on. */
export function describeSegment({ scenario, contender, round, figures, sample }: Segment): string {
  const parts = [
    figures.cpu !== undefined && `${figures.cpu.toFixed(1)} µs/request`,
    figures.cpuPerEvent !== undefined && `${figures.cpuPerEvent.toFixed(2)} µs/event`,
    figures.firstByteP50 !== undefined && `first byte p50 ${figures.firstByteP50.toFixed(0)} µs`,
    figures.firstTokenP50 !== undefined && `first token p50 ${figures.firstTokenP50.toFixed(0)} µs`,
    figures.startMs !== undefined && `started in ${figures.startMs.toFixed(0)} ms`,
    figures.kbPerStream !== undefined && `${figures.kbPerStream.toFixed(1)} KB/stream`,
    `${sample.report.rps.toFixed(0)} requests/s`,
    ...sample.problems.map((problem) => `! ${problem}`),
  ].filter((part) => part !== false);
  return `${String(round).padStart(2)}  ${scenario.padEnd(20)} ${contender.padEnd(16)} ${parts.join(", ")}`;
}
