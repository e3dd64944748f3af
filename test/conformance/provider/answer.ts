import type { Command } from "./command.ts";

/** A piece of an answer, cut as it is streamed. */
export type AnswerBlock =
  | { readonly kind: "text"; readonly pieces: readonly string[] }
  | { readonly kind: "refusal"; readonly pieces: readonly string[] }
  | { readonly kind: "reasoning"; readonly pieces: readonly string[]; readonly signature: string }
  | { readonly kind: "tool"; readonly id: string; readonly name: string; readonly pieces: readonly string[] };

/** Why an answer ended. */
export type AnswerStop = "end" | "length" | "tool" | "filtered" | "refusal";

/** Tokens, disjoint; each dialect adds them up in its own way. */
export interface AnswerTokens {
  readonly input: number;
  readonly cached: number;
  readonly written: number;
  readonly output: number;
  readonly reasoning: number;
}

/** An answer before it is written in a dialect. */
export interface Answer {
  /** Letters and digits, to be put behind what a dialect's ids begin with. */
  readonly id: string;
  readonly createdS: number;
  readonly model: string;
  /** The same for each candidate. */
  readonly blocks: readonly AnswerBlock[];
  readonly candidates: number;
  readonly stop: AnswerStop;
  /** Undefined when the usage is not said. */
  readonly tokens: AnswerTokens | undefined;
}

/** What an honest answer says it took, whatever was asked, so that each cell of a table can expect the same. */
export const HONEST_TOKENS: AnswerTokens = { input: 11, cached: 5, written: 0, output: 7, reasoning: 0 };

/** What an honest answer with reasoning says it took. */
const REASONED_TOKENS: AnswerTokens = { ...HONEST_TOKENS, reasoning: 4 };

/** Pieces of the text of each answer: with letters of two to four bytes, to be split within. */
export const TEXT_PIECES = ["The weir ", "holds — höher ", "im Mai 🌊 ", "and stays."] as const;

/**
 * The signature of reasoning: with each letter that base64 has, and those that JSON or URLs would touch. As it stands Anthropic's and that of Claude
 * at Bedrock; others have a beginning of their own.
 */
export const SIGNATURE = "EqQBCgIYAhIM+weir/signature+abcDEF0123456789/AAAA++==";

/** How signatures of those begin whose providers refuse each other's. */
export const GOOGLE_BEGINNING = "AVSo";
export const OPENAI_BEGINNING = "gAAAAABo";

/** The signature without the beginning of whom it must be of; one of somebody else's stays as it is. */
export function readSignature(signature: string, beginning: string): string {
  return signature.startsWith(beginning) ? signature.slice(beginning.length) : signature;
}

const TEXT: AnswerBlock = { kind: "text", pieces: TEXT_PIECES };
const LOOKUP: AnswerBlock = {
  kind: "tool",
  id: "one",
  name: "lookup",
  pieces: ['{"quest', 'ion":"how ', 'deep — 🌊"}'],
};
const MEASURE: AnswerBlock = { kind: "tool", id: "two", name: "measure", pieces: ['{"metres"', ":4}"] };

/** Composes the answer to a command. A function of its arguments. */
export function composeAnswer(
  command: Command,
  asked: { readonly model: string; readonly candidates: number; readonly id: string; readonly nowMs: number },
): Answer {
  const { blocks, stop } = chooseContent(command);
  return {
    id: asked.id,
    createdS: Math.floor(asked.nowMs / 1000),
    model: asked.model,
    candidates: asked.candidates,
    blocks,
    stop,
    tokens: chooseTokens(command),
  };
}

function chooseContent(command: Command): { blocks: AnswerBlock[]; stop: AnswerStop } {
  switch (command.answer) {
    case "tool":
      return { blocks: [LOOKUP], stop: "tool" };
    case "tools":
      return { blocks: [{ kind: "text", pieces: ["Let me look."] }, LOOKUP, MEASURE], stop: "tool" };
    case "reasoning":
      return {
        blocks: [{ kind: "reasoning", pieces: ["Water is ", "deep."], signature: SIGNATURE }, TEXT],
        stop: "end",
      };
    case "refusal":
      return { blocks: [{ kind: "refusal", pieces: ["I can't ", "help with that."] }], stop: "refusal" };
    case "filtered":
      return { blocks: [{ kind: "text", pieces: ["The weir "] }], stop: "filtered" };
    case "length":
      return { blocks: [{ kind: "text", pieces: ["The weir ", "ho"] }], stop: "length" };
    case "text":
      if (command.fault !== "huge") return { blocks: [TEXT], stop: "end" };
      return { blocks: [{ kind: "text", pieces: ["The weir ", "w".repeat(1 << 20), " stays."] }], stop: "end" };
  }
}

function chooseTokens({ usage, answer }: Command): AnswerTokens | undefined {
  const honest = answer === "reasoning" ? REASONED_TOKENS : HONEST_TOKENS;
  switch (usage) {
    case "honest":
      return honest;
    case "none":
      return undefined;
    case "negative":
      return { input: -11, cached: 0, written: 0, output: -7, reasoning: 0 };
    case "absurd":
      return { ...honest, input: 4e15, output: 9e15 };
    case "zero":
      return { input: 0, cached: 0, written: 0, output: 0, reasoning: 0 };
  }
}
