import type { Figures } from "../figures.ts";
import { readRssBytes } from "../machine/process-figures.ts";
import { fitLine, quantile } from "../results/statistics.ts";
import { pause } from "../setup.ts";
import { measureChats, putLoad, type Scenario, toCommonFigures } from "./scenario.ts";

const MB = 2 ** 20;
const RAMP_SECONDS = 3;
/** After the ramp, and a second more for what opening them left to be collected. */
const SETTLED_SECONDS = RAMP_SECONDS + 1;
/** RSS is read once a second: half of what is read when all has settled must be some. */
const LEAST_SECONDS = SETTLED_SECONDS + 6;

/** Streams that stay open, an event a second each: what one costs in memory, and whether that grows with its length. */
export function createMemoryScenario(streams: number, seconds: number): Scenario {
  return {
    name: `memory-${streams}`,
    about: `${streams} streams open, one event a second each`,
    seconds,
    leastSeconds: LEAST_SECONDS,
    rounds: 2,
    startsAnew: true,
    // What is left out of Weir holds nothing of a stream.
    takes: ({ program, name }) => program !== undefined && !["weir-unmetered", "weir-off"].includes(name),
    run: async (context) => {
      const { contender, seconds: length } = context;
      const name = `memory-${streams}`;
      const prompt = { bytes: 4_500, stream: true };
      // Loaded and compiled what it needs, it is idle: from there on memory is the streams'.
      const short = { ...prompt, provider: "events=8;gap_us=5000" };
      await putLoad(context, `${name}-warm-up`, short, { mode: "closed", connections: 64, seconds: 1 });
      await pause(1_000);
      const idle = readRssBytes(contender.program?.pids() ?? []);
      const provider = `events=${Math.ceil(length) + 60};gap_us=1000000`;
      const load = { mode: "hold", streams, rampSeconds: RAMP_SECONDS, seconds: length } as const;
      const options = { endsUnfinished: true, watchesRss: true };
      const sample = await measureChats(context, name, { ...prompt, provider }, load, options);
      const { unfinished } = sample.report;
      const lost = unfinished < streams ? [`only ${unfinished} streams were open at the end`] : [];
      return {
        sample: { ...sample, problems: [...sample.problems, ...lost] },
        figures: {
          ...toCommonFigures(sample),
          cpuPerEvent: sample.cpuMicros / Math.max(1, sample.report.wholeRun.events),
          ...toMemory(sample.rssSeries, idle, streams),
        },
      };
    },
  };
}

function toMemory(
  series: readonly { readonly seconds: number; readonly bytes: number }[],
  idle: number,
  streams: number,
): Figures {
  const open = series.filter(({ seconds }) => seconds > SETTLED_SECONDS);
  const late = open.slice(Math.floor(open.length / 2));
  const median = quantile(
    late.map(({ bytes }) => bytes).sort((a, b) => a - b),
    0.5,
  );
  const { slope } = fitLine(late.map(({ seconds, bytes }) => ({ x: seconds, y: bytes })));
  return {
    rssIdleMb: idle / MB,
    rssOpenMb: median / MB,
    kbPerStream: (median - idle) / 1024 / streams,
    kbPerStreamMinute: (slope * 60) / 1024 / streams,
  };
}
