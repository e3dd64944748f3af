import type { Command } from "../provider/command.ts";

/** What a row of the table must come to. */
export type Due =
  /** A whole answer. */
  | "whole"
  /** An error before any content, and no trace of the first target when there is a second one. */
  | "error"
  /** The caller's own mistake: an error, and no other target is asked. */
  | "refusal"
  /** A whole answer, or an error event: nothing was missing but the mark. */
  | "whole or cut"
  /** A stream that broke after content: an error event, and nothing that looks like an end. */
  | "cut"
  /** The target can't be asked that: refused by its field, and no provider is called. */
  | "inexpressible"
  /** The router answers itself, and no provider is called. */
  | "own";

/** A row: what the provider does, and what must come of it. */
export interface Fault {
  readonly name: string;
  readonly command: Partial<Command>;
  readonly due: Due;
  /** Where it makes a difference: "stream" rows are left out for answers in one piece. Default both. */
  readonly only?: "stream" | "unary";
  /** Whether only a timeout ends it. Default false. */
  readonly isSilent?: boolean;
  /** The source of the usage, when it is not the provider's word. */
  readonly source?: "COUNTED";
}

/** All rows. "after text" means after two events with content. */
export const FAULTS: readonly Fault[] = [
  { name: "none", command: {}, due: "whole" },
  { name: "slow", command: { fault: "slow", ms: 1 }, due: "whole" },
  { name: "an event of 1 MB", command: { fault: "huge" }, due: "whole" },
  { name: "one tool", command: { answer: "tool" }, due: "whole" },
  { name: "parallel tools", command: { answer: "tools" }, due: "whole" },
  { name: "reasoning", command: { answer: "reasoning" }, due: "whole" },
  { name: "refusal of the model", command: { answer: "refusal" }, due: "whole" },
  { name: "filtered", command: { answer: "filtered" }, due: "whole" },
  { name: "cap met", command: { answer: "length" }, due: "whole" },
  { name: "usage missing", command: { usage: "none" }, due: "whole", source: "COUNTED" },
  { name: "usage negative", command: { usage: "negative" }, due: "whole", source: "COUNTED" },
  { name: "usage absurd", command: { usage: "absurd" }, due: "whole", source: "COUNTED" },
  { name: "usage zero", command: { usage: "zero" }, due: "whole", source: "COUNTED" },
  { name: "400", command: { fault: "status", status: 400 }, due: "refusal" },
  { name: "401", command: { fault: "status", status: 401 }, due: "error" },
  { name: "429", command: { fault: "status", status: 429 }, due: "error" },
  { name: "429, retry after 7 s", command: { fault: "status", status: 429, retryAfterS: 7 }, due: "error" },
  { name: "500", command: { fault: "status", status: 500 }, due: "error" },
  { name: "503", command: { fault: "status", status: 503 }, due: "error" },
  { name: "529", command: { fault: "status", status: 529 }, due: "error" },
  { name: "reset", command: { fault: "reset" }, due: "error" },
  { name: "never answers", command: { fault: "never" }, due: "error", isSilent: true },
  { name: "redirect", command: { fault: "redirect" }, due: "error" },
  { name: "compressed", command: { fault: "gzip" }, due: "error" },
  { name: "a page of HTML", command: { fault: "html" }, due: "error" },
  { name: "error in a 200", command: { fault: "error", events: 0 }, due: "error" },
  { name: "error after text", command: { fault: "error" }, due: "cut", only: "stream" },
  { name: "cut before text", command: { fault: "cut", events: 0 }, due: "error" },
  { name: "cut after text", command: { fault: "cut" }, due: "cut", only: "stream" },
  { name: "cut before the mark", command: { fault: "cut", events: 999 }, due: "cut", only: "stream" },
  { name: "ends before text", command: { fault: "end", events: 0 }, due: "error" },
  { name: "ends after text", command: { fault: "end" }, due: "cut", only: "stream" },
  { name: "ends before the mark", command: { fault: "end", events: 999 }, due: "whole or cut", only: "stream" },
  { name: "malformed before text", command: { fault: "malformed", events: 0 }, due: "error" },
  { name: "malformed after text", command: { fault: "malformed" }, due: "cut", only: "stream" },
  { name: "stalls before text", command: { fault: "stall", events: 0 }, due: "error", isSilent: true },
  { name: "stalls after text", command: { fault: "stall" }, due: "cut", only: "stream", isSilent: true },
];
