/**
 * `npm run bench`: Weir beside a bare relay, other gateways and no gateway at all, interleaved in one run. See README.md for the method.
 */
import { type Arguments, HELP, readArguments } from "./arguments.ts";
import type { Contender } from "./contenders/contender.ts";
import { CONTENDERS } from "./contenders/table.ts";
import { checkExactness } from "./exactness.ts";
import { createComparison, type Stage } from "./growth/stage.ts";
import { STAGES } from "./growth/table.ts";
import { describeMachine } from "./machine/describe.ts";
import { pinSelf } from "./machine/pin-self.ts";
import { buildNative } from "./native/build.ts";
import { keepResult, keepSoak, writeResults } from "./results/keep.ts";
import { describeSegment, toMarkdown } from "./results/markdown.ts";
import type { RunResult, Segment } from "./results/run-result.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { SCENARIOS } from "./scenarios/table.ts";
import { CORES, endCommands, endSetup, prepareSetup, type Setup } from "./setup.ts";
import { describeSoak, describeSoakSample, soak } from "./soak.ts";

/** What `--quick` leaves. */
const QUICK = {
  contenders: ["direct", "relay", "weir", "portkey", "nginx"],
  scenarios: ["unary-0.4", "unary-4.5", "unary-35", "streams"],
  seconds: 1,
} as const;

/** What runs whole waits until a request costs what it costs for long; in what compares a router with itself that cancels out. */
const FIRST_WARMUP_SECONDS = { full: 20, quick: 4, growth: 4, soak: 4 } as const;

type NotRun = RunResult["notRun"][number];

try {
  const asked = readArguments(process.argv.slice(2));
  if (asked.help) printHelp();
  else await bench(asked);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function bench(asked: Arguments): Promise<void> {
  // Before anything is started: the names may be wrong.
  const notRun: NotRun[] = [];
  const stages = await chooseStages(asked, notRun);
  // All that is started inherits it; what is measured is started on the gateway's core.
  pinSelf(CORES.load);
  const setup = await prepareSetup({ basePort: asked.basePort, native: await buildNative() });
  const stopListening = endOnSignals(setup);
  try {
    await (asked.mode === "soak" ? runSoak(setup, asked) : runStages(setup, asked, stages, notRun));
  } finally {
    stopListening();
    await endSetup(setup);
  }
}

async function runStages(
  setup: Setup,
  asked: Arguments,
  stages: readonly Stage[],
  notRun: readonly NotRun[],
): Promise<void> {
  const startedAt = new Date();
  const limit = asked.seconds ?? (asked.mode === "quick" ? QUICK.seconds : undefined);
  const segments: Segment[] = [];
  for (const stage of stages) {
    console.log(`${stage.name}: ${stage.about}`);
    const found = await stage.run(setup, {
      rounds: asked.rounds,
      seed: asked.seed,
      restarts: asked.mode !== "quick",
      firstWarmupSeconds: FIRST_WARMUP_SECONDS[asked.mode],
      ...(limit !== undefined && { seconds: limit }),
      onSegment: (segment) => console.log(describeSegment(segment)),
      onNote: (text) => console.log(text),
    });
    segments.push(...found);
  }
  const exactness = await checkExactness(setup);
  const result: RunResult = {
    startedAt: startedAt.toISOString(),
    minutes: (Date.now() - startedAt.getTime()) / 60_000,
    command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
    seed: asked.seed,
    rounds: asked.rounds,
    machine: describeMachine(),
    contenders: unite(stages.map(({ contenders }) => contenders)),
    scenarios: unite(stages.map(({ scenarios }) => scenarios)),
    notRun,
    segments,
    ...(exactness && { exactness }),
  };
  console.log(`\n${toMarkdown(result)}\n\nAll segments: ${keepResult(result)}`);
  if (asked.write) console.log(`Written: ${writeResults(result, asked.mode).join(", ")}`);
}

async function runSoak(setup: Setup, asked: Arguments): Promise<void> {
  const result = await soak(setup, {
    minutes: asked.soakMinutes,
    onSample: (sample) => console.log(describeSoakSample(sample)),
    ...(asked.rate !== undefined && { rate: asked.rate }),
  });
  console.log(`\n${describeSoak(result)}\n\nAll samples: ${keepSoak(result)}`);
}

/** What runs, in this order; what cannot run here is noted with its reason. */
async function chooseStages(asked: Arguments, notRun: NotRun[]): Promise<Stage[]> {
  const { mode, only, contenders: wanted } = asked;
  const quick = mode === "quick";
  refuseUnknown("scenario", only, [...SCENARIOS, ...STAGES]);
  refuseUnknown("contender", wanted, CONTENDERS);
  const growth = STAGES.filter(({ name }) => only?.includes(name) ?? (mode === "growth" || mode === "full"));
  if (mode === "growth") return growth;
  const scenarioNames: readonly string[] | undefined = only ?? (quick ? QUICK.scenarios : undefined);
  const contenderNames: readonly string[] | undefined = wanted ?? (quick ? QUICK.contenders : undefined);
  // Without a gateway there is no CPU to compare: a short run has no time for that.
  const all = quick ? SCENARIOS.map(leaveOutDirect) : SCENARIOS;
  const scenarios = await chooseRunnable<Scenario>(all, scenarioNames, notRun);
  if (scenarios.length === 0) return growth;
  // A router from disk is for looks without a mesh: beside the mesh it says nothing more.
  const contenders = await chooseRunnable<Contender>(
    CONTENDERS.filter(({ name }) => wanted !== undefined || name !== "weir-disk"),
    contenderNames,
    notRun,
  );
  const main = createComparison({ name: "contenders", about: "all contenders, interleaved", contenders, scenarios });
  return [main, ...growth];
}

function leaveOutDirect(scenario: Scenario): Scenario {
  return scenario.name.startsWith("unary") ? { ...scenario, takes: ({ program }) => program !== undefined } : scenario;
}

async function chooseRunnable<
  T extends { readonly name: string; findObstacle?(): Promise<string | undefined> | string | undefined },
>(all: readonly T[], names: readonly string[] | undefined, notRun: NotRun[]): Promise<T[]> {
  const chosen: T[] = [];
  for (const one of all) {
    if (!(names?.includes(one.name) ?? true)) continue;
    const why = await one.findObstacle?.();
    if (why === undefined) chosen.push(one);
    else notRun.push({ name: one.name, why });
  }
  return chosen;
}

/** Stops all that was started on Ctrl-C and SIGTERM, once: a second signal changes nothing. Returns how to leave that to others. */
function endOnSignals(setup: Setup): () => void {
  let isEnding = false;
  const end = () => {
    if (isEnding) return;
    isEnding = true;
    console.log("\nStopping what was started");
    endCommands();
    void endSetup(setup).finally(() => process.exit(130));
  };
  process.on("SIGINT", end).on("SIGTERM", end);
  return () => {
    if (!isEnding) process.off("SIGINT", end).off("SIGTERM", end);
  };
}

function unite<T extends { readonly name: string }>(lists: readonly (readonly T[])[]) {
  const all = new Map(lists.flat().map((one) => [one.name, one]));
  return [...all.values()].map(({ name, about }: T & { about?: string }) => ({ name, about: about ?? "" }));
}

function refuseUnknown(
  kind: string,
  names: readonly string[] | undefined,
  all: readonly { readonly name: string }[],
): void {
  for (const name of names ?? []) {
    if (all.some((one) => one.name === name)) continue;
    const known = all.map((one) => one.name).join(", ");
    throw new Error(`Cannot start bench: no ${kind} is called "${name}"; there are ${known}`);
  }
}

function printHelp(): void {
  const list = (items: readonly { readonly name: string; readonly about: string }[]) =>
    items.map(({ name, about }) => `  ${name.padEnd(22)}${about}`).join("\n");
  console.log(
    `${HELP}\n\nScenarios:\n${list(SCENARIOS)}\n\nGrowth:\n${list(STAGES)}\n\nContenders:\n${list(CONTENDERS)}`,
  );
}
