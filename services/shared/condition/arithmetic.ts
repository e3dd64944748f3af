import { ConditionFailure } from "./problem.ts";
import { combine, type Term } from "./term.ts";

type Operator = "+" | "-" | "*" | "/" | "%";

/**
 * Arithmetic of integers. They are exact up to 2^53, and beyond it there is no answer, where CEL has 64 bits: nothing that is counted here
 * comes near either. Division is towards zero, and by zero it has no answer.
 */
export function compute(left: Term, right: Term, operator: Operator): Term {
  const operate = OPERATIONS[operator];
  return combine("int", [left, right], (facts) =>
    check(operate(left.evaluate(facts) as number, right.evaluate(facts) as number)),
  );
}

/** The opposite of an integer. */
export function oppose(term: Term): Term {
  return combine("int", [term], (facts) => check(0 - (term.evaluate(facts) as number)));
}

/** An integer as a text has it, in decimal; no answer for any other text. */
export function readInteger(term: Term): Term {
  return combine("int", [term], (facts) => {
    const text = term.evaluate(facts) as string;
    if (!/^-?[0-9]{1,16}$/.test(text)) throw new ConditionFailure("int() has a text that is no integer");
    return check(Number(text));
  });
}

const OPERATIONS: Record<Operator, (left: number, right: number) => number> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => Math.trunc(left / right),
  "%": (left, right) => left % right,
};

// Minus zero is none: it would be written so, and divided by.
function check(result: number): number {
  if (!Number.isSafeInteger(result)) throw new ConditionFailure("an integer is beyond 2^53, or was divided by zero");
  return result === 0 ? 0 : result;
}
