import { TermCompiler } from "./compile.ts";
import type { Facts, Stage } from "./facts.ts";
import { isTrue } from "./logic.ts";
import { type Expression, parseCondition } from "./parse.ts";
import { ConditionFailure, ConditionProblem, type ConditionProblemRule } from "./problem.ts";
import type { Comparison, Term } from "./term.ts";

/** What a part of a condition comes to for a call. `failed`: it has no answer, such as a division by zero. */
export type ConditionAnswer = boolean | "failed";

/** One of the parts of a condition that must all hold: what stands between its outermost `&&`. */
export interface Conjunct {
  /** As text, for people. */
  readonly text: string;
  /** What must be known to evaluate it. */
  readonly stage: Stage;
  /** What it compares, when it is as simple as that. */
  readonly comparison?: Comparison;
  /** Its answer, when it asks about nothing. */
  readonly constant?: boolean;
  evaluate(facts: Facts): ConditionAnswer;
}

/** A condition that was found good: its parts, those first that need the least. */
export interface Condition {
  readonly kind: "condition";
  readonly conjuncts: readonly Conjunct[];
}

/** What is wrong with a condition. */
export interface ConditionRefusal {
  readonly kind: "refusal";
  readonly rule: ConditionProblemRule;
  readonly message: string;
  /** Where in the text, in characters from 0; -1 for the whole. */
  readonly offset: number;
}

/**
 * Most steps of a condition. A step is about a comparison, and none of them loops by itself, so that this bounds what an evaluation takes:
 * the README says how long that is.
 */
export const STEPS_LIMIT = 1_000;
/** Conditions that are remembered: twice as many as a policy has rules, so that a new version of it finds those of the one before. */
const REMEMBERED = 2_048;

const known = new Map<string, Condition | ConditionRefusal>();

/**
 * Reads a condition: parses and types it, bounds its cost, and makes functions of its parts. The empty text is a condition without parts,
 * which always holds. Parsing takes about a millisecond, so what was read is remembered.
 */
export function readCondition(text: string): Condition | ConditionRefusal {
  let read = known.get(text);
  if (read !== undefined) return read;
  read = compileCondition(text);
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string);
  known.set(text, read);
  return read;
}

function compileCondition(text: string): Condition | ConditionRefusal {
  if (text.trim() === "") return { kind: "condition", conjuncts: [] };
  try {
    const parsed = parseCondition(text);
    const compiler = new TermCompiler(parsed);
    let steps = 0;
    const conjuncts = split(parsed.expression).map((part) => {
      const term = compiler.compileBool(part);
      steps += term.steps;
      return toConjunct(parsed.show(part), term);
    });
    if (steps > STEPS_LIMIT) {
      const message = `Takes up to ${steps} steps, more than ${STEPS_LIMIT}; shorten its lists and loops`;
      throw new ConditionProblem("CONDITION_TOO_COSTLY", message, -1);
    }
    return { kind: "condition", conjuncts: conjuncts.sort((a, b) => a.stage - b.stage) };
  } catch (error) {
    if (!(error instanceof ConditionProblem)) throw error;
    return { kind: "refusal", rule: error.rule, message: error.message, offset: error.offset };
  }
}

function split(part: Expression): Expression[] {
  const { exprKind } = part;
  return exprKind.case === "callExpr" && exprKind.value.function === "_&&_"
    ? exprKind.value.args.flatMap(split)
    : [part];
}

function toConjunct(text: string, term: Term): Conjunct {
  const { stage, comparison, constant } = term;
  return {
    text,
    stage,
    ...(comparison !== undefined && { comparison }),
    ...(typeof constant === "boolean" && { constant }),
    evaluate(facts) {
      try {
        return isTrue(term, facts);
      } catch (error) {
        if (error instanceof ConditionFailure) return "failed";
        throw error;
      }
    },
  };
}
