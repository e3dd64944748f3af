import type { Facts, FactValue, Stage, Type } from "./facts.ts";

/** What a part of a condition comes to. */
export type Value = FactValue | readonly (string | number)[];

/** A fact held against what stands in the condition: what check can reason about. */
export interface Comparison {
  /** Name of the fact, such as "caller.team", or "caller.labels.tier". */
  readonly fact: string;
  readonly operator: "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";
  readonly values: readonly (string | number | boolean)[];
}

/** A part of a condition: its type is known, and what is left of it is a function. */
export interface Term {
  readonly type: Type;
  /** What must be known to evaluate it. */
  readonly stage: Stage;
  /** Most steps that it takes; see {@link STEPS_LIMIT} in `compile.ts`. */
  readonly steps: number;
  /** Its value, when it reads no fact. */
  readonly constant?: Value;
  /** Name of the fact that it is. */
  readonly fact?: string;
  readonly comparison?: Comparison;
  /** Throws ConditionFailure. */
  readonly evaluate: (facts: Facts) => Value;
}

/** A term that reads no fact. */
export function toConstant(type: Type, value: Value): Term {
  return { type, stage: 0, steps: 1, constant: value, evaluate: () => value };
}

/** What a term made of others needs: the latest of their stages, all of their steps and its own. */
export function addUp(parts: readonly Term[], ownSteps = 1): Pick<Term, "stage" | "steps"> {
  let stage: Stage = 0;
  let steps = ownSteps;
  for (const part of parts) {
    if (part.stage > stage) stage = part.stage;
    steps += part.steps;
  }
  return { stage, steps };
}

/** A term made of others; a constant when all of them are and it comes to something. */
export function combine(type: Type, parts: readonly Term[], evaluate: Term["evaluate"], ownSteps = 1): Term {
  const needs = addUp(parts, ownSteps);
  if (!parts.every(({ constant }) => constant !== undefined)) return { type, ...needs, evaluate };
  try {
    // Without facts: nothing in it reads any.
    return { ...toConstant(type, evaluate(NO_FACTS)), steps: needs.steps };
  } catch {
    return { type, ...needs, evaluate };
  }
}

const NO_FACTS: Facts = {
  region: "",
  caller: { organisation: "", team: "", app: "", environment: "", keyId: "", labels: {} },
  model: "",
  operation: "",
  streamed: false,
  maxOutputTokens: 0,
  inputBytes: 0,
  hasTools: false,
  nowMs: 0,
};
