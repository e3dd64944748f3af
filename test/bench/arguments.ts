import { parseArgs } from "node:util";

/** What the bench is asked to do. */
export interface Arguments {
  /** What runs: all of it, the short run, growth, or the soak. */
  readonly mode: "full" | "quick" | "growth" | "soak";
  /** Names of scenarios; undefined for those of the mode. */
  readonly only?: readonly string[];
  /** Names of contenders; undefined for those of the mode. */
  readonly contenders?: readonly string[];
  readonly rounds: number;
  /** Makes segments shorter than they are by default, those of memory no shorter than they must be. */
  readonly seconds?: number;
  readonly seed: number;
  readonly basePort: number;
  /** Renews RESULTS.md and results.svg. */
  readonly write: boolean;
  readonly soakMinutes: number;
  /** Chats a second of the soak. Default half of saturation. */
  readonly rate?: number;
  readonly help: boolean;
}

/** What `--help` prints. */
export const HELP = `npm run bench -- [options]

  (nothing)             every contender in every scenario, and growth: more than an hour
  --quick               the most important ones, under two minutes
  --growth              keys, models, rules, open streams, a spool that is not emptied, snapshots that change, two routers
  --soak 30m            half of saturation for so long: memory and event loop over time
  --rate R              chats a second of the soak, instead of half of saturation
  --only a,b            only these scenarios
  --contenders a,b      only these contenders ("relay" is what the others are compared with)
  --rounds N            rounds (5; with --quick 2)
  --seconds S           no segment longer than this, but for those of memory, which take at least 10
  --seed N              order of the contenders (1)
  --port P              first port; the run takes 140 from there on (7500)
  --write               renew test/bench/RESULTS.md and test/bench/results.svg
  --help                this, with the names of scenarios and contenders`;

const DEFAULT_ROUNDS = { full: 5, quick: 2, growth: 5, soak: 1 } as const;

/** Reads the command line. Throws, with words for people, when it makes no sense. */
export function readArguments(argv: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      growth: { type: "boolean", default: false },
      soak: { type: "string" },
      only: { type: "string" },
      contenders: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      rate: { type: "string" },
      port: { type: "string" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { quick, growth, soak, write, help } = values;
  if ([quick, growth, soak !== undefined].filter(Boolean).length > 1) {
    throw new Error("Cannot start bench: choose one of --quick, --growth and --soak");
  }
  const mode = quick ? "quick" : growth ? "growth" : soak === undefined ? "full" : "soak";
  const only = toNames(values.only);
  const contenders = toNames(values.contenders);
  return {
    mode,
    rounds: toNumber("--rounds", values.rounds) ?? DEFAULT_ROUNDS[mode],
    seed: toNumber("--seed", values.seed) ?? 1,
    basePort: toNumber("--port", values.port) ?? 7_500,
    soakMinutes: soak === undefined ? 0 : toMinutes(soak),
    write,
    help,
    ...(values.seconds !== undefined && { seconds: toNumber("--seconds", values.seconds) as number }),
    ...(values.rate !== undefined && { rate: toNumber("--rate", values.rate) as number }),
    ...(only && { only }),
    ...(contenders && { contenders }),
  };
}

function toNames(list: string | undefined): string[] | undefined {
  return list?.split(",").filter((name) => name !== "");
}

function toNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`Cannot read ${option}: "${text}" is not a number above 0`);
  return value;
}

function toMinutes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text);
  if (match === null) throw new Error(`Cannot read --soak: "${text}" is not a time such as 30m`);
  return Number(match[1]) * { s: 1 / 60, m: 1, h: 60 }[match[2] as "s" | "m" | "h"];
}
