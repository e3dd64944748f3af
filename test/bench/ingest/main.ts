/** Measures metering's and audit's intake. Run it alone on the machine: `npm run bench:ingest -- --help`. */
import { parseArgs } from "node:util";
import { runBacklogBench } from "./backlog.ts";
import { runIngestBench } from "./run.ts";
import { toBacklogTables, toTable } from "./table.ts";

const HELP = `Usage: npm run bench:ingest -- [options]

  --facts <n>      facts of each kind in a round (default 100000, at most 400000)
  --rounds <n>     rounds (default 3)
  --only <name>    metering or audit alone
  --port <n>       first of 41 free ports (default 9600)
  --unpinned       leaves all processes on all cores
  --cpu-prof <dir> writes CPU profiles of the services

  --backlog <n>    instead: a whole mesh with n calls waiting in a router's spool; how they drain, and whether chats notice
  --rate <n>       with it: chats a second (default 200)
`;

const { values } = parseArgs({
  options: {
    facts: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
    port: { type: "string" },
    unpinned: { type: "boolean" },
    "cpu-prof": { type: "string" },
    backlog: { type: "string" },
    rate: { type: "string" },
    help: { type: "boolean" },
  },
});

if (values.help) {
  process.stdout.write(HELP);
} else if (values.backlog !== undefined) {
  const result = await runBacklogBench({
    ...toNumber("calls", values.backlog),
    ...toNumber("rate", values.rate),
    ...toNumber("port", values.port),
    pinned: !values.unpinned,
    onPhase: (text) => process.stderr.write(`${text}\n`),
  });
  finish(toBacklogTables(result), result.faults);
} else {
  const result = await runIngestBench({
    ...toNumber("facts", values.facts),
    ...toNumber("rounds", values.rounds),
    ...toNumber("port", values.port),
    ...(values.only === "metering" || values.only === "audit" ? { only: values.only } : {}),
    ...(values["cpu-prof"] === undefined ? {} : { cpuProfile: values["cpu-prof"] }),
    pinned: !values.unpinned,
    onRound: ({ service, round, factsPerSecond }) =>
      process.stderr.write(`${service} round ${round}: ${Math.round(factsPerSecond)} facts/s\n`),
  });
  finish(toTable(result.rounds), result.faults);
}

function finish(table: string, faults: readonly string[]): void {
  process.stdout.write(
    `${table}\n\n${faults.length === 0 ? "Exact: what was sent is what is stored." : faults.join("\n")}\n`,
  );
  process.exitCode = faults.length === 0 ? 0 : 1;
}

function toNumber<Name extends string>(name: Name, text: string | undefined): Partial<Record<Name, number>> {
  if (text === undefined) return {};
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`Cannot run bench: --${name} is "${text}", not a whole number from 1`);
  return { [name]: number } as Record<Name, number>;
}
