import type { Facts } from "./facts.ts";
import { type Comparison, combine, type Term } from "./term.ts";

/** How two of one type compare. */
export type OrderOperator = "<" | "<=" | ">" | ">=";

/** `==` and `!=` of two of one type. */
export function equal(left: Term, right: Term, operator: "==" | "!="): Term {
  const wanted = operator === "==";
  const { evaluate: one } = left;
  const { evaluate: other } = right;
  const term = combine("bool", [left, right], (facts) => (one(facts) === other(facts)) === wanted);
  return withComparison(term, left, right, operator, operator);
}

/** `<`, `<=`, `>` and `>=` of two integers or instants. */
export function order(left: Term, right: Term, operator: OrderOperator): Term {
  const { evaluate: one } = left;
  const { evaluate: other } = right;
  const term = combine("bool", [left, right], ORDERS[operator](one as Numeric, other as Numeric));
  return withComparison(term, left, right, operator, MIRRORED[operator]);
}

/** Whether a text or an integer is in a list, which is looked up when it stands in the condition. */
export function contains(item: Term, list: Term): Term {
  const { evaluate } = item;
  if (list.constant === undefined) {
    return combine("bool", [item, list], (facts) =>
      (list.evaluate(facts) as readonly unknown[]).includes(evaluate(facts)),
    );
  }
  const values = list.constant as readonly (string | number)[];
  const known = new Set<unknown>(values);
  const term = combine("bool", [item, list], (facts) => known.has(evaluate(facts)));
  return item.fact === undefined ? term : { ...term, comparison: { fact: item.fact, operator: "in", values } };
}

type Numeric = (facts: Facts) => number;

const ORDERS: Record<OrderOperator, (one: Numeric, other: Numeric) => (facts: Facts) => boolean> = {
  "<": (one, other) => (facts) => one(facts) < other(facts),
  "<=": (one, other) => (facts) => one(facts) <= other(facts),
  ">": (one, other) => (facts) => one(facts) > other(facts),
  ">=": (one, other) => (facts) => one(facts) >= other(facts),
};

const MIRRORED = { "<": ">", "<=": ">=", ">": "<", ">=": "<=" } as const;

function withComparison(
  term: Term,
  left: Term,
  right: Term,
  operator: Comparison["operator"],
  mirrored: Comparison["operator"],
): Term {
  if (left.fact !== undefined && isPlain(right.constant)) {
    return { ...term, comparison: { fact: left.fact, operator, values: [right.constant] } };
  }
  if (right.fact !== undefined && isPlain(left.constant)) {
    return { ...term, comparison: { fact: right.fact, operator: mirrored, values: [left.constant] } };
  }
  return term;
}

function isPlain(value: Term["constant"]): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
