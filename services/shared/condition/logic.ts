import type { Facts } from "./facts.ts";
import { type Comparison, combine, type Term } from "./term.ts";

/** Both: false beside a part that comes to no answer is false, as in CEL. */
export function and(left: Term, right: Term): Term {
  return combine("bool", [left, right], (facts) => {
    let isLeft: boolean;
    try {
      isLeft = isTrue(left, facts);
    } catch (failure) {
      if (!isTrue(right, facts)) return false;
      throw failure;
    }
    return isLeft && isTrue(right, facts);
  });
}

/** Either: true beside a part that comes to no answer is true. */
export function or(left: Term, right: Term): Term {
  return combine("bool", [left, right], (facts) => {
    let isLeft: boolean;
    try {
      isLeft = isTrue(left, facts);
    } catch (failure) {
      if (isTrue(right, facts)) return true;
      throw failure;
    }
    return isLeft || isTrue(right, facts);
  });
}

/** The opposite. */
export function not(term: Term): Term {
  const negated = combine("bool", [term], (facts) => !isTrue(term, facts));
  const { comparison } = term;
  return comparison === undefined ? negated : { ...negated, comparison: negate(comparison) };
}

/** One of two of one type. */
export function choose(condition: Term, first: Term, second: Term): Term {
  return combine(first.type, [condition, first, second], (facts) =>
    isTrue(condition, facts) ? first.evaluate(facts) : second.evaluate(facts),
  );
}

/** Whether a term of type bool holds. */
export function isTrue(term: Term, facts: Facts): boolean {
  return term.evaluate(facts) === true;
}

const OPPOSITES = {
  "==": "!=",
  "!=": "==",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
  in: "not in",
  "not in": "in",
} as const satisfies Record<Comparison["operator"], Comparison["operator"]>;

function negate({ fact, operator, values }: Comparison): Comparison {
  return { fact, operator: OPPOSITES[operator], values };
}
