import { compute, oppose } from "./arithmetic.ts";
import { contains, equal, order } from "./compare.ts";
import { FACTS, readLabel, Stage, type Type } from "./facts.ts";
import { FUNCTIONS, METHODS, OPTIONAL_LAST } from "./functions.ts";
import { and, choose, not, or } from "./logic.ts";
import { type LoopVariable, makeLoop, readLoop } from "./macros.ts";
import type { Call, Comprehension, Constant, Expression, ParsedCondition, Selection } from "./parse.ts";
import { ConditionProblem, type ConditionProblemRule } from "./problem.ts";
import { combine, type Term, toConstant } from "./term.ts";

const ORDERS = { "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=" } as const;
const ARITHMETIC = { "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%" } as const;
/** Names that facts begin with. */
const OBJECTS: ReadonlySet<string> = new Set([...FACTS.keys()].flatMap((name) => name.match(/^(.+)\./)?.[1] ?? []));

/** Types a condition's parts and makes functions of them. One instance a condition. Throws ConditionProblem. */
export class TermCompiler {
  readonly #parsed: ParsedCondition;
  #loop: { readonly name: string; readonly type: Type; readonly variable: LoopVariable } | undefined;

  constructor(parsed: ParsedCondition) {
    this.#parsed = parsed;
  }

  /** A part that must be true or false. */
  compileBool(part: Expression): Term {
    return this.#compileAs(part, ["bool"]);
  }

  #compile(part: Expression): Term {
    const { exprKind } = part;
    switch (exprKind.case) {
      case "constExpr":
        return this.#readConstant(part, exprKind.value);
      case "identExpr":
        return this.#readName(part, exprKind.value.name);
      case "selectExpr":
        return this.#select(part, exprKind.value);
      case "listExpr":
        return this.#makeList(part, exprKind.value.elements);
      case "callExpr":
        return this.#call(part, exprKind.value);
      case "comprehensionExpr":
        return this.#makeLoop(part, exprKind.value);
      default:
        throw this.#problem("CONDITION_UNSUPPORTED", "Maps and messages can't be made here", part);
    }
  }

  #compileAs(part: Expression | undefined, types: readonly Type[]): Term {
    if (part === undefined) throw new ConditionProblem("CONDITION_SYNTAX", "A part is missing", -1);
    const term = this.#compile(part);
    if (types.includes(term.type)) return term;
    throw this.#problem("CONDITION_TYPE", `Must be of type ${types.join(" or ")}, is of type ${term.type}`, part);
  }

  #readConstant(part: Expression, { constantKind }: Constant): Term {
    switch (constantKind.case) {
      case "boolValue":
        return toConstant("bool", constantKind.value);
      case "stringValue":
        return toConstant("string", constantKind.value);
      case "int64Value": {
        const value = Number(constantKind.value);
        if (Number.isSafeInteger(value)) return toConstant("int", value);
        throw this.#problem("CONDITION_VALUE", "Integers reach up to 2^53", part);
      }
      default:
        throw this.#problem("CONDITION_UNSUPPORTED", "Constants are texts, integers, true and false", part);
    }
  }

  #readName(part: Expression, name: string): Term {
    if (name === this.#loop?.name) {
      const { type, variable } = this.#loop;
      // Its own steps are the loop's, and what it needs is what the loop's range needs.
      return { type, stage: Stage.SNAPSHOT, steps: 1, evaluate: () => variable.value };
    }
    const fact = FACTS.get(name);
    if (fact === undefined) throw this.#unknown(part, name);
    const term: Term = { type: fact.type, stage: fact.stage, steps: 1, fact: name, evaluate: fact.read };
    return fact.type === "bool" ? { ...term, comparison: { fact: name, operator: "==", values: [true] } } : term;
  }

  #select(part: Expression, { operand, field, testOnly }: Selection): Term {
    const prefix = operand?.exprKind.case === "identExpr" ? operand.exprKind.value.name : undefined;
    if (prefix !== undefined && OBJECTS.has(prefix) && prefix !== this.#loop?.name) {
      if (testOnly) throw this.#problem("CONDITION_UNSUPPORTED", "Facts are always there; has() is for labels", part);
      return this.#readName(part, `${prefix}.${field}`);
    }
    if (prefix !== undefined && !FACTS.has(prefix) && prefix !== this.#loop?.name) throw this.#unknown(part, prefix);
    const labels = this.#compileAs(operand, ["labels"]);
    return testOnly ? hasLabel(labels, toConstant("string", field)) : getLabel(labels, toConstant("string", field));
  }

  #makeList(part: Expression, elements: readonly Expression[]): Term {
    const terms = elements.map((element) => this.#compileAs(element, ["string", "int"]));
    const type = terms[0]?.type === "int" ? "int" : "string";
    const other = terms.findIndex((term) => term.type !== type);
    if (other >= 0) throw this.#problem("CONDITION_TYPE", "Lists are of one type", elements[other] ?? part);
    return combine(`list of ${type}`, terms, (facts) =>
      terms.map(({ evaluate }) => evaluate(facts) as string | number),
    );
  }

  #call(part: Expression, { function: name, target, args }: Call): Term {
    if (target !== undefined) return this.#callFunction(part, name, METHODS.get(name), [target, ...args]);
    const [first, second, third] = args;
    if (name in ORDERS) {
      const [left, right] = this.#compilePair(first, second, ["int", "timestamp"]);
      return order(left, right, ORDERS[name as keyof typeof ORDERS]);
    }
    if (name in ARITHMETIC) {
      const [left, right] = this.#compilePair(first, second, ["int"]);
      return compute(left, right, ARITHMETIC[name as keyof typeof ARITHMETIC]);
    }
    switch (name) {
      case "_&&_":
        return and(this.#compileAs(first, ["bool"]), this.#compileAs(second, ["bool"]));
      case "_||_":
        return or(this.#compileAs(first, ["bool"]), this.#compileAs(second, ["bool"]));
      case "!_":
        return not(this.#compileAs(first, ["bool"]));
      case "-_":
        return oppose(this.#compileAs(first, ["int"]));
      case "_==_":
      case "_!=_":
        return equal(
          ...this.#compilePair(first, second, ["string", "int", "bool", "timestamp"]),
          name === "_==_" ? "==" : "!=",
        );
      case "_?_:_":
        return choose(
          this.#compileAs(first, ["bool"]),
          ...this.#compilePair(second, third, ["bool", "int", "string", "timestamp"]),
        );
      case "@in":
        return this.#makeIn(part, first, second);
      case "_[_]":
        return getLabel(this.#compileAs(first, ["labels"]), this.#compileAs(second, ["string"]));
      default:
        return this.#callFunction(part, name, FUNCTIONS.get(name), args);
    }
  }

  #compilePair(first: Expression | undefined, second: Expression | undefined, types: readonly Type[]): [Term, Term] {
    const left = this.#compileAs(first, types);
    return [left, this.#compileAs(second, [left.type])];
  }

  #makeIn(part: Expression, item: Expression | undefined, range: Expression | undefined): Term {
    const list = this.#compileAs(range, ["list of string", "list of int", "labels"]);
    const term = this.#compileAs(item, [list.type === "list of int" ? "int" : "string"]);
    if (Array.isArray(list.constant) && list.constant.length === 0)
      throw this.#problem("CONDITION_VALUE", "Nothing is in an empty list", part);
    return list.type === "labels" ? hasLabel(list, term) : contains(term, list);
  }

  #callFunction(
    part: Expression,
    name: string,
    called: (typeof METHODS extends ReadonlyMap<string, infer F> ? F : never) | undefined,
    args: readonly Expression[],
  ): Term {
    if (called === undefined) throw this.#problem("CONDITION_UNSUPPORTED", `There is no function "${name}" here`, part);
    const { parameters, make } = called;
    const least = parameters.length - (OPTIONAL_LAST.has(name) ? 1 : 0);
    if (args.length < least || args.length > parameters.length)
      throw this.#problem("CONDITION_TYPE", `"${name}" takes another number of arguments`, part);
    const made = make(args.map((arg, index) => this.#compileAs(arg, parameters[index] as readonly Type[])));
    if (typeof made === "string") throw this.#problem("CONDITION_VALUE", `"${name}": ${made}`, part);
    return made;
  }

  #makeLoop(part: Expression, comprehension: Comprehension): Term {
    const { kind, variable: name, range, asked } = readLoop(comprehension, this.#parsed.offsetOf(part));
    if (this.#loop !== undefined)
      throw this.#problem("CONDITION_TOO_COSTLY", "Loops must not stand within each other", part);
    const over = this.#compileAs(range, ["list of string", "list of int", "labels"]);
    const variable: LoopVariable = { value: "" };
    this.#loop = { name, type: over.type === "list of int" ? "int" : "string", variable };
    const term = makeLoop(kind, over, this.#compileAs(asked, ["bool"]), variable);
    this.#loop = undefined;
    return term;
  }

  #unknown(part: Expression, name: string): ConditionProblem {
    return this.#problem("CONDITION_FACT_UNKNOWN", `There is no "${name}" here; known are ${KNOWN}`, part);
  }

  #problem(rule: ConditionProblemRule, message: string, part: Expression): ConditionProblem {
    return new ConditionProblem(rule, message, this.#parsed.offsetOf(part));
  }
}

const KNOWN = [...FACTS.keys()].join(", ");

function getLabel(labels: Term, name: Term): Term {
  const term = combine("string", [labels, name], (facts) =>
    readLabel(labels.evaluate(facts) as Record<string, string>, name.evaluate(facts) as string),
  );
  return name.constant === undefined ? term : { ...term, fact: `${labels.fact}.${name.constant}` };
}

function hasLabel(labels: Term, name: Term): Term {
  return combine("bool", [labels, name], (facts) =>
    Object.hasOwn(labels.evaluate(facts) as object, name.evaluate(facts) as string),
  );
}
