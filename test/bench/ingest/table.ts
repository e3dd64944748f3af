import type { BacklogBenchResult } from "./backlog.ts";
import type { IngestRound } from "./run.ts";

const MIB = 2 ** 20;

/** Rounds as a Markdown table. */
export function toTable(rounds: readonly IngestRound[]): string {
  const head = [
    "service",
    "round",
    "facts",
    "facts/s",
    "committed/s",
    "service CPU µs/fact",
    "PostgreSQL CPU µs/fact",
    "NATS CPU µs/fact",
    "RSS start / peak / end MiB",
  ];
  const rows = rounds.map((round) => [
    round.service,
    String(round.round),
    count(round.facts),
    count(round.factsPerSecond),
    count(round.sequencedPerSecond ?? round.factsPerSecond),
    round.serviceCpuUs.toFixed(1),
    round.postgresCpuUs.toFixed(1),
    round.natsCpuUs.toFixed(1),
    [round.rssStartBytes, round.rssPeakBytes, round.rssEndBytes].map((bytes) => Math.round(bytes / MIB)).join(" / "),
  ]);
  return [line(head), line(head.map((_, index) => (index === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

/** What a backlog's drain came to, as two Markdown tables below a sentence. */
export function toBacklogTables(result: BacklogBenchResult): string {
  const { calls, drainSeconds, usageSeconds, recordSeconds, repeatedUsages, phases, memory } = result;
  const sentence = `${count(calls)} calls drained in ${drainSeconds.toFixed(0)} s: usages in ${usageSeconds.toFixed(0)} s (${count(calls / usageSeconds)}/s), records in ${recordSeconds.toFixed(0)} s (${count(calls / recordSeconds)}/s). ${count(repeatedUsages)} usages came more than once.`;
  return [
    sentence,
    "",
    line(["chats", "number", "errors", "p50 ms", "p99 ms", "worst p99 of 5 s, ms"]),
    line(["---", "--:", "--:", "--:", "--:", "--:"]),
    ...phases.map(({ name, chats, errors, p50Ms, p99Ms, worstP99Ms }) =>
      line([name, count(chats), count(errors), p50Ms.toFixed(2), p99Ms.toFixed(2), worstP99Ms.toFixed(2)]),
    ),
    "",
    line(["process", "RSS at start, MiB", "peak", "end"]),
    line(["---", "--:", "--:", "--:"]),
    ...Object.entries(memory).map(([name, { startBytes, peakBytes, endBytes }]) =>
      line([name, ...[startBytes, peakBytes, endBytes].map((bytes) => String(Math.round(bytes / MIB)))]),
    ),
  ].join("\n");
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
