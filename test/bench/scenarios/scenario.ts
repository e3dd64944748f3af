import type { RunningContender } from "../contenders/contender.ts";
import type { FigureName, Figures } from "../figures.ts";
import { type Load, makeLoad } from "../load.ts";
import { type MeasureOptions, measure, type Sample } from "../measure.ts";
import type { LoadReport, Percentiles } from "../native/report.ts";
import { PATHS, type PromptOptions, writePrompt } from "../prompts.ts";
import type { Setup } from "../setup.ts";

/** A way of putting load on a contender, and what is read from it. */
export interface Scenario {
  readonly name: string;
  /** One line for the reader of the results. */
  readonly about: string;
  /** How long its load lasts unless said otherwise, in seconds. */
  readonly seconds: number;
  /** A shorter load would say nothing: it lasts so long whatever is asked for, in seconds. Default 0. */
  readonly leastSeconds?: number;
  /** Most rounds that it takes part in. Default all. */
  readonly rounds?: number;
  /** Why it cannot run on this machine; undefined when it can. */
  findObstacle?(): string | undefined;
  /** Whether a contender takes part. Default all do. */
  takes?(contender: RunningContender): boolean;
  /** Begins with the contender started anew, since its memory is what is measured. */
  readonly startsAnew?: boolean;
  /** The same load, unmeasured, before a contender's first segment: its code is compiled then. */
  warmUp?(context: ScenarioContext): Promise<unknown>;
  run(context: ScenarioContext): Promise<{ readonly sample: Sample; readonly figures: Figures }>;
}

/** What a scenario is run with. */
export interface ScenarioContext {
  readonly setup: Setup;
  readonly contender: RunningContender;
  readonly seconds: number;
  /** The newest figures of a contender in another scenario of this run; undefined when there are none. */
  find(scenario: string, contender: string): Figures | undefined;
}

/** As many callers as a saturated contender has. */
export const CONNECTIONS = 64;

/** Makes load on a contender, unmeasured: chat completions, unless the prompt is of another format. */
export function putLoad(
  { setup, contender }: Pick<ScenarioContext, "setup" | "contender">,
  name: string,
  prompt: PromptOptions,
  load: Load,
): Promise<LoadReport> {
  const { port, headers, rotateFile } = contender;
  const bodyFile = writePrompt(setup.folder, name, prompt);
  const target = { load: setup.load, port, path: PATHS[prompt.format ?? "chat-completions"], bodyFile, headers };
  return makeLoad(rotateFile === undefined ? target : { ...target, rotateFile }, load);
}

/** Makes the same load and measures it. */
export function measureChats(
  context: Pick<ScenarioContext, "setup" | "contender">,
  name: string,
  prompt: PromptOptions,
  load: Load,
  options: MeasureOptions = {},
): Promise<Sample> {
  return measure(context.setup, context.contender, () => putLoad(context, name, prompt, load), options);
}

/** What every segment says of a contender: its CPU, its event loop, its memory. */
export function toCommonFigures({ report, cpuMicros, loopDelay, rssBytes }: Sample): Figures {
  if (cpuMicros === 0 || report.wholeRun.requests === 0) return { rps: report.rps };
  const cpu = cpuMicros / report.wholeRun.requests;
  return {
    rps: report.rps,
    cpu,
    cpuSeconds: cpu,
    perCore: 1e6 / cpu,
    rssMb: rssBytes / 2 ** 20,
    ...(loopDelay.p99 !== undefined && { loopDelayP99Ms: loopDelay.p99 }),
  };
}

/** Percentiles as figures. */
export function toPercentiles(
  { p50, p95, p99 }: Percentiles,
  names: readonly [FigureName, FigureName, FigureName],
): Figures {
  const figures: Figures = {};
  const [middle, high, highest] = names;
  if (p50 !== null) figures[middle] = p50;
  if (p95 !== null) figures[high] = p95;
  if (p99 !== null) figures[highest] = p99;
  return figures;
}
