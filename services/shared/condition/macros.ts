import type { Facts } from "./facts.ts";
import { isTrue } from "./logic.ts";
import type { Comprehension, Expression } from "./parse.ts";
import { ConditionProblem } from "./problem.ts";
import { addUp, type Term } from "./term.ts";

/** A loop as the parser writes the macros `exists` and `all` out. */
export interface Loop {
  readonly kind: "exists" | "all";
  readonly variable: string;
  readonly range: Expression;
  /** What is asked of each. */
  readonly asked: Expression;
}

/** Most labels of a caller, for the steps of a loop over them. */
const MOST_LABELS = 64;

/** Reads a loop. Throws for what none of the two macros writes. */
export function readLoop({ iterVar, iterRange, accuVar, accuInit, loopStep, result }: Comprehension, at: number): Loop {
  const start = accuInit?.exprKind;
  const step = loopStep?.exprKind;
  const isPlain = result?.exprKind.case === "identExpr" && result.exprKind.value.name === accuVar;
  if (
    isPlain &&
    iterRange !== undefined &&
    start?.case === "constExpr" &&
    start.value.constantKind.case === "boolValue" &&
    step?.case === "callExpr"
  ) {
    const kind = start.value.constantKind.value ? "all" : "exists";
    const [, asked] = step.value.args;
    const isLogic = step.value.function === (kind === "all" ? "_&&_" : "_||_");
    if (asked !== undefined && isLogic) return { kind, variable: iterVar, range: iterRange, asked };
  }
  throw new ConditionProblem("CONDITION_UNSUPPORTED", "Of the loops only exists() and all() are known", at);
}

/** The place of a loop's variable. Loops do not stand within each other and evaluation is synchronous, so that one serves all turns. */
export interface LoopVariable {
  value: string | number;
}

/** Makes a loop: over what stands in a list, or over the names of labels. */
export function makeLoop(kind: Loop["kind"], range: Term, asked: Term, variable: LoopVariable): Term {
  const turns = Array.isArray(range.constant) ? range.constant.length : MOST_LABELS;
  const { stage } = addUp([range, asked]);
  const isAll = kind === "all";
  const evaluate = (facts: Facts): boolean => {
    const values = range.evaluate(facts);
    const items = Array.isArray(values) ? (values as readonly (string | number)[]) : Object.keys(values as object);
    let failure: unknown;
    for (const item of items) {
      variable.value = item;
      try {
        if (isTrue(asked, facts) !== isAll) return !isAll;
      } catch (thrown) {
        // One that decides may follow.
        failure ??= thrown;
      }
    }
    if (failure !== undefined) throw failure;
    return isAll;
  };
  return { type: "bool", stage, steps: 1 + range.steps + turns * (asked.steps + 1), evaluate };
}
