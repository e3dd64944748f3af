import { RE2JS } from "@bufbuild/re2";

/** A regular expression. */
export interface Pattern {
  /** Whether it matches anywhere in a text, as CEL's `matches` does. */
  readonly test: (text: string) => boolean;
  /** Instructions of its program: at worst each is looked at for each letter of a text. */
  readonly instructions: number;
}

/** The most that the counts of a pattern, such as the 12 of `a{12}`, add up to: each is written out before anyone can say how long that is. */
const COUNTS_LIMIT = 256;

/**
 * Compiles a regular expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax), whose time is linear in the text; undefined
 * for what is none, or counts too far.
 */
export function findPattern(pattern: string): Pattern | undefined {
  let counts = 0;
  for (const [, from = "0", to = from] of pattern.matchAll(/\{([0-9]+)(?:,([0-9]*))?\}/g)) {
    counts += Math.max(Number(from), Number(to));
  }
  if (counts > COUNTS_LIMIT) return undefined;
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
  return { test: (text) => compiled.test(text), instructions: compiled.re2().prog.numInst() };
}
