import { clearMergeCache, countTokens, setMergeCacheSize } from "gpt-tokenizer/encoding/o200k_base";

/** Most characters that are tokenised at once: the time for one run of letters without a break grows faster than its length. */
const SLICE_CHARACTERS = 4096;
/** How far from the end of a slice a space may stand that ends it. */
const REACH_CHARACTERS = 512;
/** Words whose tokens are remembered within one text. */
const REMEMBERED_WORDS = 1000;

// What looks like a mark of the encoding is text like any other.
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

setMergeCacheSize(REMEMBERED_WORDS);

/** How a text is counted. */
export interface CountTextOptions {
  /** How long that may take, in milliseconds; what is left by then is taken to have as many tokens for its size. */
  readonly limitMs: number;
  /** Milliseconds of some clock. */
  readonly nowMs: () => number;
}

/**
 * Counts the tokens of a text by the encoding o200k_base, in slices that end at spaces, where tokens end too. The text comes from
 * outside, and may be made to take long: see `limitMs`. At least one slice is counted.
 */
export function countText(text: string, { limitMs, nowMs }: CountTextOptions): number {
  const untilMs = nowMs() + limitMs;
  let tokens = 0;
  let at = 0;
  while (at < text.length) {
    const end = findEnd(text, at);
    tokens += countTokens(text.slice(at, end), AS_TEXT);
    at = end;
    if (nowMs() >= untilMs) break;
  }
  // Words are parts of the text, and would keep all of it in memory.
  clearMergeCache();
  return at < text.length ? Math.ceil((tokens * text.length) / at) : tokens;
}

function findEnd(text: string, from: number): number {
  const most = from + SLICE_CHARACTERS;
  if (most >= text.length) return text.length;
  // A token begins with the space before its word, and ends with the line.
  const space = text.lastIndexOf(" ", most);
  if (space >= most - REACH_CHARACTERS) return space;
  const line = text.lastIndexOf("\n", most - 1) + 1;
  if (line >= most - REACH_CHARACTERS) return line;
  return isHalf(text.charCodeAt(most)) ? most - 1 : most;
}

/** Whether a code unit is the second half of a character. */
function isHalf(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
