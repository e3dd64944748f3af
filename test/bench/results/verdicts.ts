import type { FigureName } from "../figures.ts";
import { getPaired, getSpread } from "./comparison.ts";
import type { Exactness, Segment } from "./run-result.ts";
import type { Spread } from "./statistics.ts";

/** Whether a must of the issue is met. */
export interface Verdict {
  readonly must: string;
  readonly target: string;
  readonly measured: string;
  /** `open`: this run did not measure it. What is missed by less than the noise is missed all the same. */
  readonly result: "met" | "not met" | "open";
}

/** Portkey sleeps so long before the first event of each stream, in microseconds (speed.md, section 3). */
export const PORTKEY_SLEEP_MICROS = 25_000;

type Measured = { readonly value: number; readonly text: string } | undefined;

interface Must {
  readonly must: string;
  readonly target: string;
  /** The most that the value may be. */
  readonly most: number;
  measure(segments: readonly Segment[]): Measured;
}

const MUSTS: readonly Must[] = [
  ratioMust("CPU of a request, 0.4 KB, to the bare relay", 1.2, "unary-0.4", "weir", "relay", "cpu"),
  ratioMust("CPU of a request, 4.5 KB, to the bare relay", 1.2, "unary-4.5", "weir", "relay", "cpu"),
  ratioMust("CPU of a request, 35 KB, to the bare relay", 1.5, "unary-35", "weir", "relay", "cpu"),
  ...["0.4", "4.5", "35"].map((size) =>
    ratioMust(`CPU of a request, ${size} KB, to Portkey`, 1 / 12, `unary-${size}`, "weir", "portkey", "cpu", "1/12"),
  ),
  ratioMust("CPU of a streamed event, to the bare relay", 1.15, "streams", "weir", "relay", "cpuPerEvent"),
  {
    must: "Added time to first token, p50, to nginx's",
    target: "≤ 2",
    most: 2,
    measure: (segments) => {
      const own = getPaired(segments, "added", "streams", "weir", "direct", "firstTokenP50");
      const nginx = getPaired(segments, "added", "streams", "nginx", "direct", "firstTokenP50");
      if (own === undefined || nginx === undefined) return undefined;
      const value = own.median / nginx.median;
      const text = `${value.toFixed(2)} (${own.median.toFixed(0)} µs to ${nginx.median.toFixed(0)} µs)`;
      return { value, text };
    },
  },
  {
    must: "Added time to first token, p95, at half of saturation",
    target: "< 2 ms",
    most: 2_000,
    measure: (segments) => {
      const added = getPaired(segments, "added", "streams-half", "weir", "direct", "firstTokenP95");
      return added && { value: added.median, text: `${(added.median / 1000).toFixed(2)} ms` };
    },
  },
  ratioMust("Memory of an open stream, to the bare relay", 1.25, "memory-2000", "weir", "relay", "kbPerStream"),
  {
    must: "Memory of an open stream, growth with its length",
    target: "flat (≤ 1 KB a minute beyond the relay's)",
    most: 1,
    measure: (segments) => {
      const slope = getSpread(segments, "memory-2000", "weir", "kbPerStreamMinute");
      const relay = getSpread(segments, "memory-2000", "relay", "kbPerStreamMinute");
      if (slope === undefined || relay === undefined) return undefined;
      // A process that shrinks a little is flat too.
      const value = slope.median - Math.max(0, relay.median);
      return { value, text: `${slope.median.toFixed(2)} KB a minute (relay ${relay.median.toFixed(2)})` };
    },
  },
  {
    must: "Start to ready, from disk",
    target: "< 1 s",
    most: 1_000,
    measure: (segments) => {
      const start = getSpread(segments, "start-up", "weir", "startMs");
      return start && { value: start.median, text: `${(start.median / 1000).toFixed(2)} s` };
    },
  },
  {
    must: "CPU of a gRPC call, to the same by connect-node's universal handler",
    target: "≤ 1/2",
    most: 1 / 2,
    measure: (segments) => {
      const own = getSpread(segments, "grpc-unary", "weir", "cpu");
      const adapter = getSpread(segments, "connect-unary", "weir", "cpu");
      if (own === undefined || adapter === undefined) return undefined;
      const text = `1/${(adapter.median / own.median).toFixed(1)} (${own.median.toFixed(0)} µs to ${adapter.median.toFixed(0)} µs)`;
      return { value: own.median / adapter.median, text };
    },
  },
  ratioMust("CPU of a request, metering and audit on to off", 1.1, "unary-4.5", "weir", "weir-unmetered", "cpu"),
  ratioMust("CPU of a request, 100,000 keys to 10", 1.05, "growth-keys", "keys-100000", "keys-10", "cpu"),
  ratioMust("CPU of a request, 1,000 models to 10", 1.05, "growth-models", "models-1000", "models-10", "cpu"),
  ratioMust("CPU of a request, 1,000 rules to none", 1.05, "growth-rules", "rules-1000", "rules-0", "cpu"),
  ratioMust(
    "CPU of a request, spool not emptied, last segment to first",
    1.1,
    "growth-backlog",
    "backlog-late",
    "backlog-early",
    "cpu",
  ),
  {
    must: "Added total time p99, a new snapshot each second to none",
    target: "no step (≤ 1 ms)",
    most: 1_000,
    measure: (segments) => {
      const swapped = getPaired(segments, "added", "growth-swaps", "weir-disk", "direct", "totalP99");
      const still = getPaired(segments, "added", "growth-no-swaps", "weir-disk", "direct", "totalP99");
      if (swapped === undefined || still === undefined) return undefined;
      const value = swapped.median - still.median;
      return {
        value,
        text: `${(value / 1000).toFixed(2)} ms (${swapped.median.toFixed(0)} µs to ${still.median.toFixed(0)} µs)`,
      };
    },
  },
  ratioMust("CPU of a request, two routers to one", 1.05, "growth-routers", "routers-2", "routers-1", "cpu"),
];

/** Judges a run. */
export function judge(segments: readonly Segment[], exactness?: Exactness): Verdict[] {
  return [
    ...MUSTS.map(({ must, target, most, measure }): Verdict => {
      const measured = measure(segments);
      if (measured === undefined) return { must, target, measured: "–", result: "open" };
      const { value, text } = measured;
      return {
        must,
        target,
        measured: text,
        result: value <= most ? "met" : "not met",
      };
    }),
    judgeExactness(exactness),
  ];
}

function judgeExactness(exactness: Exactness | undefined): Verdict {
  const must = "Every chat has one usage and one record";
  if (exactness === undefined) return { must, target: "all", measured: "–", result: "open" };
  const { chats, usages, parkedUsages, records } = exactness;
  return {
    must,
    target: "all",
    measured: `${count(chats)} chats, ${count(usages)} usages, ${count(records)} records`,
    result: chats === usages && usages === records && parkedUsages === 0 ? "met" : "not met",
  };
}

function ratioMust(
  must: string,
  most: number,
  scenario: string,
  contender: string,
  other: string,
  figure: FigureName,
  word = String(most),
): Must {
  return {
    must,
    target: `≤ ${word}`,
    most,
    measure: (segments) => {
      const ratio = getPaired(segments, "ratio", scenario, contender, other, figure);
      return (
        ratio && {
          value: ratio.median,
          text: describeRatio(ratio),
        }
      );
    },
  };
}

/** A ratio with its spread; as a part of one where it is far below. */
function describeRatio({ median, min, max }: Spread): string {
  if (median < 0.2) return `1/${(1 / median).toFixed(1)} (1/${(1 / min).toFixed(1)} to 1/${(1 / max).toFixed(1)})`;
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}
