import type { Figures } from "../figures.ts";
import type { LoadReport } from "../native/report.ts";
import { PROMPT_BYTES } from "../prompts.ts";
import {
  CONNECTIONS,
  measureChats,
  putLoad,
  type Scenario,
  type ScenarioContext,
  toCommonFigures,
  toPercentiles,
} from "./scenario.ts";

/** A provider that answers after 20 ms. */
export const LATENCY = "latency_us=20000";
/** Median 20 ms, 95 % below 45 ms. */
const LOG_NORMAL = `${LATENCY};sigma=0.5`;
const WARMUP_SECONDS = 0.5;
const WARMUP_RATE = 300;
/** What half of saturation is half of. */
const SATURATION = "unary-4.5";

/** Chats a second, and how the provider answers them. */
export interface OpenLoop {
  readonly name: string;
  readonly about: string;
  readonly provider: string;
  readonly rate: number | "half";
}

const OPEN_LOOPS: readonly OpenLoop[] = [
  ...[25, 100, 300, 1_000].map((rate) => ({
    name: `open-${rate}`,
    about: `${rate} chats a second, provider answers after 20 ms, prompts of 4.5 KB`,
    provider: LATENCY,
    rate,
  })),
  {
    name: "open-half",
    about: "half of the contender's own saturation, provider answers after 20 ms, prompts of 4.5 KB",
    provider: LATENCY,
    rate: "half",
  },
  {
    name: "open-300-log-normal",
    about: "300 chats a second, provider answers after 20 ms in the median, log-normal, prompts of 4.5 KB",
    provider: LOG_NORMAL,
    rate: 300,
  },
  {
    name: "open-half-log-normal",
    about: "half of the contender's own saturation, provider as before, prompts of 4.5 KB",
    provider: LOG_NORMAL,
    rate: "half",
  },
];

/** Chats that come when they come, whatever became of those before: no omission of what a slow answer delays. */
export const openLoopScenarios: readonly Scenario[] = OPEN_LOOPS.map(createOpenLoop);

/** Chats at a fixed rate. */
export function createOpenLoop({ name, about, provider, rate }: OpenLoop): Scenario {
  const prompt = { bytes: PROMPT_BYTES, provider };
  return {
    name,
    about,
    // Few requests need time to be enough for a percentile.
    seconds: rate === 25 ? 12 : 5,
    rounds: 3,
    warmUp: (context) => putLoad(context, name, prompt, { mode: "open", rate: WARMUP_RATE, seconds: context.seconds }),
    run: async (context) => {
      const perSecond = rate === "half" ? await findHalf(context) : rate;
      const load = { mode: "open", rate: perSecond, seconds: context.seconds, warmupSeconds: WARMUP_SECONDS } as const;
      const sample = await measureChats(context, name, prompt, load, { judgesLatency: true });
      return { sample, figures: { ...toCommonFigures(sample), rate: perSecond, ...toLatencies(sample.report) } };
    },
  };
}

/** Half of what the contender did at saturation; direct has the rate of the relay, so that there is something to compare with. */
export async function findHalf(context: ScenarioContext): Promise<number> {
  const { contender, find } = context;
  const name = contender.program === undefined ? "relay" : contender.name;
  const known = find(SATURATION, name)?.rps;
  if (known !== undefined) return Math.round(known / 2);
  if (contender.program === undefined) return WARMUP_RATE;
  const load = { mode: "closed", connections: CONNECTIONS, seconds: 1 } as const;
  const { rps } = await putLoad(context, SATURATION, { bytes: PROMPT_BYTES }, load);
  return Math.round(rps / 2);
}

function toLatencies({ firstByteMicros, totalMicros }: LoadReport): Figures {
  return {
    ...toPercentiles(firstByteMicros, ["firstByteP50", "firstByteP95", "firstByteP99"]),
    ...toPercentiles(totalMicros, ["totalP50", "totalP95", "totalP99"]),
  };
}
