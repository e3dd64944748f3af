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
/** Most classes of Unicode, such as `\\pL`: each takes a millisecond to make and 15 KB to keep. */
const CLASSES_LIMIT = 8;
/** The last letter of a range where case is ignored, which is gone through letter by letter: those of all scripts take 40 ms. */
const FOLDED_LIMIT = 0x2ff;

/** An escape, which no count follows but as its own part, or a count. */
const TOKENS = /\\x\{[0-9a-f]+\}|\\(.)|\{([0-9]+)(?:,([0-9]*))?\}/gisu;
const IGNORES_CASE = /\(\?[a-z-]*i/i;
/** What may be the end of a range. Elsewhere than in a class too: what is taken for one by mistake is refused. */
const RANGE_ENDS = /-(?=\\x\{([0-9a-f]+)\}|\\?(.))/gisu;

/**
 * Compiles a regular expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax), whose time is linear in the text; undefined
 * for what is none, or would take long to compile.
 */
export function findPattern(pattern: string): Pattern | undefined {
  if (isTooCostly(pattern)) return undefined;
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
  return { test: (text) => compiled.test(text), instructions: compiled.re2().prog.numInst() };
}

/** Looked for in the text, since the library has done the work by the time that it could say so. */
function isTooCostly(pattern: string): boolean {
  let counts = 0;
  let classes = 0;
  for (const [, escaped = "", from = "0", to = from] of pattern.matchAll(TOKENS)) {
    counts += Math.max(Number(from), Number(to));
    if (escaped === "p" || escaped === "P") classes += 1;
  }
  if (counts > COUNTS_LIMIT || classes > CLASSES_LIMIT) return true;
  if (!IGNORES_CASE.test(pattern)) return false;
  const ends = Array.from(pattern.matchAll(RANGE_ENDS), ([, hex, letter]) =>
    letter === undefined ? Number.parseInt(hex as string, 16) : (letter.codePointAt(0) as number),
  );
  return ends.some((end) => end > FOLDED_LIMIT);
}
