import type { Figures } from "../figures.ts";
import type { Sample } from "../measure.ts";
import type { PromptOptions } from "../prompts.ts";
import {
  measureChats,
  putLoad,
  type Scenario,
  type ScenarioContext,
  toCommonFigures,
  toPercentiles,
} from "./scenario.ts";

/** A stream of 64 events of content, 5 ms apart: about a third of a second. */
const PROVIDER = "events=64;gap_us=5000";
const PROMPT = { bytes: 4_500, stream: true, provider: PROVIDER };
/** Streams a second: keeps about 100 of them open. */
export const RATE = 300;
const WARMUP_SECONDS = 0.5;

/** Streamed answers, coming at a fixed rate. */
export const streamScenarios: readonly Scenario[] = [
  {
    name: "streams",
    about: `Streams of 64 events 5 ms apart, ${RATE} a second, about 100 open`,
    seconds: 5,
    warmUp: (context) => putLoad(context, "streams", PROMPT, { mode: "open", rate: RATE, seconds: context.seconds }),
    run: (context) => runStreams(context, "streams", PROMPT, RATE),
  },
  {
    name: "streams-half",
    about: "The same at half of the contender's own saturation with streams",
    seconds: 5,
    run: (context) => runStreams(context, "streams", PROMPT, findHalf(context)),
  },
];

/** Measures a contender with streams that come at a fixed rate a second. */
export async function runStreams(
  context: ScenarioContext,
  name: string,
  prompt: PromptOptions,
  rate: number,
): Promise<{ sample: Sample; figures: Figures }> {
  const load = { mode: "open", rate, seconds: context.seconds, warmupSeconds: WARMUP_SECONDS } as const;
  const sample = await measureChats(context, name, prompt, load, { judgesLatency: true });
  const { firstEventMicros, eventDelayMicros, events, seconds } = sample.report;
  return {
    sample,
    figures: {
      ...toCommonFigures(sample),
      rate,
      ...toPercentiles(firstEventMicros, ["firstTokenP50", "firstTokenP95", "firstTokenP99"]),
      ...toPercentiles(eventDelayMicros, ["eventDelayP50", "eventDelayP95", "eventDelayP99"]),
      eventsPerSecond: events / seconds,
      ...(sample.cpuMicros > 0 && { cpuPerEvent: sample.cpuMicros / Math.max(1, sample.report.wholeRun.events) }),
    },
  };
}

/** A stream's CPU at the fixed rate says how many a core could carry; direct has the rate of the relay. */
function findHalf({ contender, find }: ScenarioContext): number {
  const name = contender.program === undefined ? "relay" : contender.name;
  const cpu = find("streams", name)?.cpu;
  return cpu === undefined ? RATE : Math.max(1, Math.round(0.5e6 / cpu));
}
