import type { Conjunct } from "../../shared/condition/condition.ts";
import type { Worlds } from "./worlds.ts";

type Comparison = NonNullable<Conjunct["comparison"]>;

/**
 * Why parts of a condition can't all hold, as a sentence; undefined when nothing shows that they can't. Looks at what stands there as a
 * constant, and at comparisons of one fact with constants: what one of them leaves, another may take.
 */
export function findContradiction(conjuncts: readonly Conjunct[], worlds: Worlds): string | undefined {
  const never = conjuncts.find(({ constant }) => constant === false);
  if (never !== undefined) return `${never.text} is false`;
  const byFact = Map.groupBy(
    conjuncts.flatMap(({ comparison }) => comparison ?? []),
    ({ fact }) => fact,
  );
  for (const [fact, comparisons] of byFact) {
    const ids = worlds.get(fact)?.ids;
    if (!canHold(comparisons, ids)) return `nothing that ${fact} can be fits`;
  }
  return undefined;
}

function canHold(comparisons: readonly Comparison[], world: ReadonlySet<string> | undefined): boolean {
  const candidates = listCandidates(comparisons, world);
  return candidates === undefined || candidates.some((value) => comparisons.every((one) => holds(one, value)));
}

type Value = Comparison["values"][number];

/** Values of which one fits if any does; undefined when there are too many kinds of them to say. */
function listCandidates(
  comparisons: readonly Comparison[],
  world: ReadonlySet<string> | undefined,
): readonly Value[] | undefined {
  if (world !== undefined) return [...world];
  const values = comparisons.flatMap((one) => one.values);
  switch (typeof values[0]) {
    case "boolean":
      return [true, false];
    case "number":
      // Between two neighbouring numbers that are named all others are alike. None of the facts that are counted is below zero; nor is an instant.
      return [0, ...(values as readonly number[]).flatMap((value) => [value - 1, value, value + 1])].filter(
        (value) => value >= 0,
      );
    default: {
      // A text that nobody named stands for all of those.
      const isNamed = comparisons.some(({ operator }) => operator === "==" || operator === "in");
      return isNamed ? values : undefined;
    }
  }
}

function holds({ operator, values }: Comparison, value: Value): boolean {
  const [first] = values as readonly [Value];
  switch (operator) {
    case "==":
      return value === first;
    case "!=":
      return value !== first;
    case "<":
      return value < first;
    case "<=":
      return value <= first;
    case ">":
      return value > first;
    case ">=":
      return value >= first;
    case "in":
      return values.includes(value);
    case "not in":
      return !values.includes(value);
  }
}
