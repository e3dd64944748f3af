import { parse, unparse } from "@bufbuild/cel";
import { ConditionProblem } from "./problem.ts";

type Parsed = ReturnType<typeof parse>;
/** A node of the syntax tree of the Common Expression Language (https://github.com/google/cel-spec). */
export type Expression = Parsed["expr"];
export type ExpressionKind = Expression["exprKind"];
export type Call = Extract<ExpressionKind, { case: "callExpr" }>["value"];
export type Selection = Extract<ExpressionKind, { case: "selectExpr" }>["value"];
export type Comprehension = Extract<ExpressionKind, { case: "comprehensionExpr" }>["value"];
export type Constant = Extract<ExpressionKind, { case: "constExpr" }>["value"];

/** A condition as it was written. */
export interface ParsedCondition {
  readonly expression: Expression;
  /** Where a part stands in the text, in characters from 0. */
  offsetOf(part: Expression): number;
  /** A part as text, for people. */
  show(part: Expression): string;
}

/** Longest condition, in bytes, as in weir.policy.v1.Rule. The parser takes up to 20 ms for one. */
const CONDITION_BYTES = 2048;
/** Deepest nesting of brackets: a hundredth of what the parser's stack holds. */
const DEPTH_LIMIT = 32;

/** Parses a condition, which comes from outside. Throws ConditionProblem. */
export function parseCondition(text: string): ParsedCondition {
  if (Buffer.byteLength(text) > CONDITION_BYTES) {
    throw new ConditionProblem("CONDITION_TOO_COSTLY", `Must have at most ${CONDITION_BYTES} bytes`, -1);
  }
  checkDepth(text);
  let parsed: Parsed;
  try {
    parsed = parse(text);
  } catch (error) {
    const { location, rawMessage } = error as { location?: { start: { offset: number } }; rawMessage?: string };
    const message = rawMessage ?? "it can't be parsed";
    throw new ConditionProblem("CONDITION_SYNTAX", `Is no expression: ${message}`, location?.start.offset ?? -1);
  }
  const positions = parsed.sourceInfo?.positions ?? {};
  return {
    expression: parsed.expr,
    offsetOf: ({ id }) => positions[String(id)] ?? -1,
    // With what is known of the whole, in which loops stand as they were written.
    show: (part) => unparse({ ...parsed, expr: part }),
  };
}

// Brackets within texts count too: a condition that needs so many is none that anyone reads.
function checkDepth(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at] as string;
    if ("([{".includes(letter)) depth += 1;
    else if (")]}".includes(letter)) depth = Math.max(0, depth - 1);
    if (depth > DEPTH_LIMIT) {
      throw new ConditionProblem("CONDITION_TOO_COSTLY", `Must nest at most ${DEPTH_LIMIT} brackets`, at);
    }
  }
}
