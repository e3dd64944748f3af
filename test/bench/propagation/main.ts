/** Measures how fast changes of keys reach those who act on them. Run it alone on the machine: `npm run bench:propagation -- --help`. */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describe, toRow } from "./figures.ts";
import { type Propagation, runPropagationBench } from "./run.ts";

const HELP = `Usage: npm run bench:propagation -- [options]

  --keys <n>         keys in the keyring (default 100000)
  --watchers <n>     light watchers beside the four routers (default 1000)
  --changes <n>      changes of one key that are timed (default 200)
  --revocations <n>  keys that are revoked under load (default 200)
  --herd <n>         watchers that come at once (default 100)
  --policies <n>     instances of policy on one database, 1 or 2 (default 1)
  --unpinned         leaves all processes on all cores
`;

const { values } = parseArgs({
  options: {
    keys: { type: "string", default: "100000" },
    watchers: { type: "string", default: "1000" },
    changes: { type: "string", default: "200" },
    revocations: { type: "string", default: "200" },
    herd: { type: "string", default: "100" },
    policies: { type: "string", default: "1" },
    unpinned: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else await bench();

async function bench(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-propagation-"));
  const load = loadavg()[0] ?? 0;
  try {
    const result = await runPropagationBench({
      folder,
      keys: toNumber("keys"),
      watchers: toNumber("watchers"),
      changes: toNumber("changes"),
      revocations: toNumber("revocations"),
      herd: toNumber("herd"),
      policies: values.policies === "2" ? 2 : 1,
      pinned: !values.unpinned,
      onPhase: (text) => process.stderr.write(`${text}\n`),
    });
    const objections = load > 1 ? [`the machine had a load average of ${load.toFixed(1)} before the run`] : [];
    print(result, objections);
    process.exitCode = result.faults.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function print(result: Propagation, objections: readonly string[]): void {
  const rows = [
    toRow("request of a change → a watcher has verified it", result.received),
    toRow("request of a change → the last watcher has", result.receivedByAll),
    toRow("request of a change → every router applied and reported", result.reported),
    toRow("request of a change → its answer", result.answered),
    toRow("answer of RevokeKey → last 200 of any router", result.revoked),
    toRow("watchers that come at once, from disk → ready", result.herdFromDisk),
    toRow("watchers that come at once, from nothing → first message", result.herdTakenOn),
    toRow("watchers that come at once, from nothing → ready", result.herdFromNothing),
    toRow("a change meanwhile → the last watcher of those that stayed", result.receivedDuringHerd),
  ];
  const phases = Object.keys(result.turns);
  const names = Object.keys(result.turns[phases[0] as string] ?? {});
  const lines = [
    "| ms | count | p50 | p99 | max |",
    "|---|--:|--:|--:|--:|",
    ...rows,
    "",
    `${result.bytesPerChange.toFixed(0)} bytes a change and watcher; ${result.chatsPerSecond} chats/s by the key that is revoked; keys made in ${result.fillSeconds.toFixed(1)} s`,
    `policy took on ${toRate(result.herdTakenOn).toFixed(0)} watchers/s of those that came at once; to give all of them a whole keyring took it ${result.herdCpuSeconds.policy.toFixed(1)} s of CPU, and the process that verifies for them ${result.herdCpuSeconds.watchers.toFixed(1)} s`,
    `CPU of a change: policy ${result.policyCpuMs.toFixed(1)} ms, a router ${result.routerCpuMs.toFixed(1)} ms`,
    "",
    `| longest turn of the event loop, ms of CPU | ${names.join(" | ")} | policy's RSS, MiB |`,
    `|---|${names.map(() => "--:|").join("")}--:|`,
    ...phases.map((phase) => {
      const late = names.map((name) => (result.turns[phase]?.[name] ?? 0).toFixed(1));
      return `| ${phase} | ${late.join(" | ")} | ${(result.policyMiB[phase] ?? 0).toFixed(0)} |`;
    }),
    "",
    ...[...objections, ...result.faults].map((text) => `Objection: ${text}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function toRate(afterMs: readonly number[]): number {
  return (afterMs.length * 1_000) / describe(afterMs).max;
}

function toNumber(name: "keys" | "watchers" | "changes" | "revocations" | "herd"): number {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`Cannot run bench: --${name} is "${values[name]}", not a whole number from 1`);
  return number;
}
