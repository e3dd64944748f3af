import { readInteger } from "./arithmetic.ts";
import type { Type } from "./facts.ts";
import { findPattern } from "./pattern.ts";
import { combine, type Term, toConstant } from "./term.ts";
import { findZone, TIME_METHODS } from "./zone.ts";

/** A function or method of conditions. */
export interface ConditionFunction {
  /** Types of its arguments, for a method with that of its target first. */
  readonly parameters: readonly (readonly Type[])[];
  /** Returns what is wrong with a constant argument as a text. */
  readonly make: (args: readonly Term[]) => Term | string;
}

/** What a search in a text counts: facts are texts of a few hundred bytes at most. */
const TEXT_STEPS = 4;
/** What a pattern counts at least: it takes 30 times as long as a comparison. */
const PATTERN_STEPS = 50;
/** What each of its instructions counts: at worst 2.5 µs for a text of 256 letters. */
const INSTRUCTION_STEPS = 4;
const TIME_STEPS = 20;

/** Functions by name; those that are written behind a target stand in METHODS. */
export const FUNCTIONS: ReadonlyMap<string, ConditionFunction> = new Map([
  [
    "size",
    { parameters: [["string", "labels", "list of string", "list of int"]], make: ([of]) => measure(of as Term) },
  ],
  ["int", { parameters: [["string"]], make: ([text]) => readInteger(text as Term) }],
  ["timestamp", { parameters: [["string"]], make: ([text]) => readInstant(text as Term) }],
]);

/** Methods by name. */
export const METHODS: ReadonlyMap<string, ConditionFunction> = new Map([
  [
    "size",
    { parameters: [["string", "labels", "list of string", "list of int"]], make: ([of]) => measure(of as Term) },
  ],
  ["startsWith", search((text, part) => text.startsWith(part))],
  ["endsWith", search((text, part) => text.endsWith(part))],
  ["contains", search((text, part) => text.includes(part))],
  [
    "matches",
    { parameters: [["string"], ["string"]], make: ([text, pattern]) => match(text as Term, pattern as Term) },
  ],
  ...TIME_METHODS.map((name): [string, ConditionFunction] => [
    name,
    { parameters: [["timestamp"], ["string"]], make: ([instant, zone]) => tellTime(instant as Term, zone, name) },
  ]),
]);

/** Methods whose last argument may be left out. */
export const OPTIONAL_LAST: ReadonlySet<string> = new Set(TIME_METHODS);

function search(find: (text: string, part: string) => boolean): ConditionFunction {
  return {
    parameters: [["string"], ["string"]],
    make: (args) => {
      const [text, part] = args as [Term, Term];
      return combine(
        "bool",
        args,
        (facts) => find(text.evaluate(facts) as string, part.evaluate(facts) as string),
        TEXT_STEPS,
      );
    },
  };
}

function measure(of: Term): Term {
  return combine("int", [of], (facts) => {
    const value = of.evaluate(facts);
    // Characters, not units of UTF-16, as in CEL.
    if (typeof value === "string") return [...value].length;
    return Array.isArray(value) ? value.length : Object.keys(value as object).length;
  });
}

function match(text: Term, { constant }: Term): Term | string {
  if (constant === undefined) return "the pattern must stand in the condition, as a text";
  const pattern = findPattern(constant as string);
  if (pattern === undefined) {
    return "the pattern is no regular expression of RE2, counts beyond 256, names more than 8 classes of Unicode, or ignores case in a range beyond U+02FF";
  }
  const { test, instructions } = pattern;
  const steps = Math.max(PATTERN_STEPS, INSTRUCTION_STEPS * instructions);
  return combine("bool", [text], (facts) => test(text.evaluate(facts) as string), steps);
}

const RFC_3339 = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})$/;

function readInstant({ constant }: Term): Term | string {
  if (constant === undefined) return "the instant must stand in the condition, as a text";
  const ms = RFC_3339.test(constant as string) ? Date.parse(constant as string) : Number.NaN;
  if (Number.isNaN(ms)) return 'must be an instant as RFC 3339 writes it, such as "2026-12-31T00:00:00Z"';
  return toConstant("timestamp", ms);
}

function tellTime(instant: Term, zone: Term | undefined, method: (typeof TIME_METHODS)[number]): Term | string {
  if (zone !== undefined && zone.constant === undefined) return "the zone must stand in the condition, as a text";
  const tell = findZone((zone?.constant as string | undefined) ?? "UTC");
  if (tell === undefined) return 'must be a time zone, such as "Europe/Berlin", "UTC" or "+01:00"';
  return combine("int", [instant], (facts) => tell(instant.evaluate(facts) as number)[method], TIME_STEPS);
}
