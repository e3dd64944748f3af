/** What goes wrong with an answer. "none" answers well. */
export type FaultKind =
  | "none"
  /** The connection ends within the answer, without the mark of a whole body. */
  | "cut"
  /** The body ends cleanly, but the answer in it is not whole. */
  | "end"
  /** Nothing more comes, and the connection stays. */
  | "stall"
  /** Something that is not of the format. */
  | "malformed"
  /** An error in a body that was begun with status 200. */
  | "error"
  /** An error with a status of its own. */
  | "status"
  /** The connection is reset before anything is answered. */
  | "reset"
  /** The request is taken, and nothing is ever answered. */
  | "never"
  /** A redirect to another place. */
  | "redirect"
  /** A body in gzip, though nobody asked for it. */
  | "gzip"
  /** A page of HTML with status 200. */
  | "html"
  /** Time passes between the events. */
  | "slow"
  /** One event of a megabyte. */
  | "huge";

/** What the answer is, when nothing goes wrong. */
export type AnswerKind = "text" | "tool" | "tools" | "reasoning" | "refusal" | "filtered" | "length";

/** What the answer says of its usage. */
export type UsageKind = "honest" | "none" | "negative" | "absurd" | "zero";

const FAULT_KINDS: readonly FaultKind[] = [
  "none",
  "cut",
  "end",
  "stall",
  "malformed",
  "error",
  "status",
  "reset",
  "never",
  "redirect",
  "gzip",
  "html",
  "slow",
  "huge",
];
const ANSWER_KINDS: readonly AnswerKind[] = ["text", "tool", "tools", "reasoning", "refusal", "filtered", "length"];
const USAGE_KINDS: readonly UsageKind[] = ["honest", "none", "negative", "absurd", "zero"];

/**
 * How a conformance provider answers a call. A command travels as text in the prompt, since that is what survives relay and
 * translation alike; the names of models are written anew on the way.
 */
export interface Command {
  readonly fault: FaultKind;
  /** What the answer is. Default "text". */
  readonly answer: AnswerKind;
  /** What it says of its usage. Default "honest". */
  readonly usage: UsageKind;
  /** After how many bytes of the body it goes wrong, from 0. Goes before `events`. */
  readonly bytes: number | undefined;
  /** After how many events with content it goes wrong, from 0: then only what comes before content was sent. Default 2. */
  readonly events: number;
  /** Status of the fault "status". Default 500. */
  readonly status: number;
  /** What `retry-after` says, in seconds, with the fault "status". Default: nothing. */
  readonly retryAfterS: number | undefined;
  /** Milliseconds between two events of the fault "slow". Default 5. */
  readonly ms: number;
  /** Names the call, so that a test finds what the provider saw of it. Empty when it has no name. */
  readonly id: string;
}

/** Answers well. */
export const NO_FAULT: Command = {
  fault: "none",
  answer: "text",
  usage: "honest",
  bytes: undefined,
  events: 2,
  status: 500,
  retryAfterS: undefined,
  ms: 5,
  id: "",
};

/** Writes a command for a prompt: `[[fault kind=cut bytes=1200 id=a7]]`. What has its default is left out. */
export function writeCommand(command: Partial<Command>): string {
  const words = Object.entries({ kind: command.fault ?? NO_FAULT.fault, ...command, fault: undefined })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name === "retryAfterS" ? "retry_after" : name}=${value}`);
  return `[[fault ${words.join(" ")}]]`;
}

/**
 * Finds the last command in the text of a request's body: the one of the newest turn. Its letters are none that any JSON escapes, so
 * that the body need not be understood. Answers well when there is none, and throws for one that can't be meant: a row of a table
 * with a slip in it must not pass for a provider that answers well.
 */
export function findCommand(body: string): Command {
  const text = [...body.matchAll(/\[\[fault ([\w=.\- ]*)\]\]/g)].at(-1)?.[1];
  if (text === undefined) return NO_FAULT;
  const words = new Map(text.split(" ").map((word) => word.split("=", 2) as [string, string | undefined]));
  const command: Command = {
    fault: pick(words, "kind", FAULT_KINDS) ?? NO_FAULT.fault,
    answer: pick(words, "answer", ANSWER_KINDS) ?? NO_FAULT.answer,
    usage: pick(words, "usage", USAGE_KINDS) ?? NO_FAULT.usage,
    bytes: pickNumber(words, "bytes"),
    events: pickNumber(words, "events") ?? NO_FAULT.events,
    status: pickNumber(words, "status") ?? NO_FAULT.status,
    retryAfterS: pickNumber(words, "retry_after"),
    ms: pickNumber(words, "ms") ?? NO_FAULT.ms,
    id: words.get("id") ?? "",
  };
  words.delete("id");
  if (words.size > 0) throw new Error(`Cannot read command: "${[...words.keys()].join(" ")}" means nothing`);
  return command;
}

function pick<T extends string>(words: Map<string, string | undefined>, name: string, among: readonly T[]) {
  const said = words.get(name);
  words.delete(name);
  const found = among.find((one) => one === said);
  if (said !== undefined && found === undefined) {
    throw new Error(`Cannot read command: ${name} is "${said}", not one of ${among.join(", ")}`);
  }
  return found;
}

function pickNumber(words: Map<string, string | undefined>, name: string): number | undefined {
  const said = words.get(name);
  words.delete(name);
  if (said === undefined) return undefined;
  if (!/^\d+$/.test(said)) throw new Error(`Cannot read command: ${name} is "${said}", not a whole number from 0`);
  return Number(said);
}
