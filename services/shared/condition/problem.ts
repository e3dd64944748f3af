/** What can be wrong with a condition; names are those of policy's findings. */
export type ConditionProblemRule =
  | "CONDITION_SYNTAX"
  | "CONDITION_FACT_UNKNOWN"
  | "CONDITION_TYPE"
  | "CONDITION_UNSUPPORTED"
  | "CONDITION_VALUE"
  | "CONDITION_TOO_COSTLY";

/** What is wrong with a condition, and where. Thrown within this room only; who compiles one gets it as a value. */
export class ConditionProblem extends Error {
  readonly rule: ConditionProblemRule;
  /** Where in the text, in characters from 0; -1 for the whole. */
  readonly offset: number;

  constructor(rule: ConditionProblemRule, message: string, offset: number) {
    super(message);
    this.rule = rule;
    this.offset = offset;
  }
}

/** A condition that came to no answer for one call: an integer beyond 2^53, a division by zero, a text that is no number. */
export class ConditionFailure extends Error {}
