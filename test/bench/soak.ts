import { weir } from "./contenders/weir.ts";
import { withCompanionsAtWork } from "./growth/companions-at-work.ts";
import { countErrors } from "./load.ts";
import { readCpuMicros, readRssBytes } from "./machine/process-figures.ts";
import { PROMPT_BYTES } from "./prompts.ts";
import { fitLine } from "./results/statistics.ts";
import { LATENCY } from "./scenarios/open-loop.ts";
import { CONNECTIONS, putLoad } from "./scenarios/scenario.ts";
import type { LoopDelay, Program, Setup } from "./setup.ts";

const EACH_MS = 10_000;
const MB = 2 ** 20;
/** What memory does while code is compiled and pools fill says nothing about later. */
const SETTLING_SHARE = 0.2;

/** What a router did over a long time. */
export interface SoakResult {
  readonly minutes: number;
  readonly rate: number;
  readonly requests: number;
  readonly errors: number;
  readonly totalP99Micros: number | null;
  readonly samples: readonly SoakSample[];
  /** Growth of RSS after the first fifth of the time, by least squares, with its standard error. */
  readonly slopeMbPerHour: number;
  readonly slopeError: number;
}

/** Memory and event loop at an instant. */
export interface SoakSample {
  readonly seconds: number;
  readonly rssMb: number;
  /** Share of a core since the sample before. */
  readonly cpuShare: number;
  readonly loopDelay: LoopDelay;
}

/** Puts half of saturation, or a given rate, on Weir for a long time, with the mesh behind it at work, and looks at it each 10 seconds. */
export async function soak(
  setup: Setup,
  options: { readonly minutes: number; readonly rate?: number; readonly onSample: (sample: SoakSample) => void },
): Promise<SoakResult> {
  const router = await weir.start(setup);
  const program = router.program as Program;
  const context = { setup, contender: router };
  return await withCompanionsAtWork(setup, async () => {
    const bytes = PROMPT_BYTES;
    const saturation = { mode: "closed", connections: CONNECTIONS, seconds: 5 } as const;
    const rate = options.rate ?? Math.round((await putLoad(context, "soak-saturation", { bytes }, saturation)).rps / 2);
    const samples: SoakSample[] = [];
    const startedAt = performance.now();
    let cpuBefore = readCpuMicros(program.pids());
    let before = startedAt;
    const timer = setInterval(async () => {
      const loopDelay = await program.takeLoopDelay();
      const [now, cpu] = [performance.now(), readCpuMicros(program.pids())];
      const sample = {
        seconds: (now - startedAt) / 1000,
        rssMb: readRssBytes(program.pids()) / MB,
        cpuShare: (cpu - cpuBefore) / ((now - before) * 1000),
        loopDelay,
      };
      [before, cpuBefore] = [now, cpu];
      samples.push(sample);
      options.onSample(sample);
    }, EACH_MS);
    try {
      const load = { mode: "open", rate, seconds: options.minutes * 60, warmupSeconds: 5 } as const;
      const report = await putLoad(context, "soak", { bytes, provider: LATENCY }, load);
      const settled = samples.filter(({ seconds }) => seconds > options.minutes * 60 * SETTLING_SHARE);
      const { slope, error } = fitLine(settled.map(({ seconds, rssMb }) => ({ x: seconds / 3_600, y: rssMb })));
      return {
        minutes: options.minutes,
        rate,
        requests: report.requests,
        errors: countErrors(report) + report.unfinished,
        totalP99Micros: report.totalMicros.p99,
        samples,
        slopeMbPerHour: slope,
        slopeError: error,
      };
    } finally {
      clearInterval(timer);
    }
  });
}

/** One line for people. */
export function describeSoakSample({ seconds, rssMb, cpuShare, loopDelay }: SoakSample): string {
  const delay = loopDelay.p99 === undefined ? "" : `, event loop late by ${loopDelay.p99.toFixed(1)} ms at p99`;
  return `${String(Math.round(seconds)).padStart(6)} s  RSS ${rssMb.toFixed(1)} MB, ${(cpuShare * 100).toFixed(0)} % of a core${delay}`;
}

/** The result as Markdown. */
export function describeSoak(result: SoakResult): string {
  const { minutes, rate, requests, errors, totalP99Micros, samples, slopeMbPerHour, slopeError } = result;
  const [first, last] = [samples[0], samples.at(-1)];
  const worst = Math.max(...samples.map(({ loopDelay }) => loopDelay.p99 ?? 0));
  return `Soak: ${Number(minutes.toFixed(1))} minutes at ${rate} chats a second, ${requests.toLocaleString("en")} chats, ${errors} errors. RSS ${first?.rssMb.toFixed(0)} MB at first, ${last?.rssMb.toFixed(0)} MB at last; slope after the first fifth ${slopeMbPerHour.toFixed(1)} ± ${slopeError.toFixed(1)} MB an hour. Total time p99 ${((totalP99Micros ?? 0) / 1000).toFixed(1)} ms (the provider's 20 ms in it); event loop late by ${worst.toFixed(1)} ms at p99 in the worst 10 s.`;
}
