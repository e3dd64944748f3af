/**
 * Reads the structure of a JSON object without making one: it accepts what `JSON.parse` accepts (RFC 8259, an object at the
 * top, no byte order mark), nested at most {@link MAX_DEPTH} deep, and says where the values of chosen top-level keys stand.
 * It reads hostile input, so it never recurses and allocates nothing per scan, but for a view of its bytes when a string is
 * long. That the bytes are UTF-8 is checked by the caller (`node:buffer` isUtf8), not here.
 */
import { StringSkipper } from "./skip-string/skip-string.ts";

/** Deepest nesting of arrays and objects, the outermost included. A tool's schema needs a tenth of it. */
export const MAX_DEPTH = 256;

/** Takes the texts that a scan comes by, as they stand there, without their quotes. */
export interface TextTaker {
  take(bytes: Uint8Array, from: number, to: number): void;
}

/** What else a scan does. All optional. */
export interface WatchOptions {
  /**
   * Refuses an object in which a watched key stands twice, escaped or in other case, because its next reader may read it
   * differently. Default false: the last one counts, as with `JSON.parse`.
   */
  readonly strict?: boolean;
  /** A key below the top level of which is said whether one has a string as its value. Default none. */
  readonly nested?: string;
  /**
   * Which strings are text, for {@link JsonScan.textBytes} and takers: `nested` are those below the top level; `all` are those and the ones at it;
   * `watched` are those within the values of watched keys. Default `nested`.
   */
  readonly text?: "nested" | "all" | "watched";
  /** Keys whose strings are no text, such as the kind of an object. Default none. */
  readonly noText?: readonly string[];
  /** Whether the names of members within the values of watched keys are text too. Default false. */
  readonly names?: boolean;
}

/** The top-level keys that a scan looks for. */
export interface WatchedKeys {
  readonly names: readonly string[];
  /** The names as bytes, in the same order. */
  readonly bytes: readonly Uint8Array[];
  readonly longest: number;
  readonly strict: boolean;
  readonly nested: Uint8Array;
  readonly text: "nested" | "all" | "watched";
  /** Keys whose strings are no text, by their length. */
  readonly noText: readonly (readonly Uint8Array[] | undefined)[];
  readonly namesAreText: boolean;
}

/** Makes a set of keys to look for: plain lower-case ASCII names. Do it once, not per scan. */
export function watchKeys(names: readonly string[], options: WatchOptions = {}): WatchedKeys {
  return {
    names,
    bytes: names.map((name) => Buffer.from(name)),
    longest: Math.max(...names.map((name) => name.length)),
    strict: options.strict ?? false,
    nested: Buffer.from(options.nested ?? ""),
    text: options.text ?? "nested",
    noText: sortByLength(options.noText ?? []),
    namesAreText: options.names ?? false,
  };
}

function sortByLength(names: readonly string[]): (Uint8Array[] | undefined)[] {
  const sorted: (Uint8Array[] | undefined)[] = [];
  for (const name of names) sorted[name.length] = [...(sorted[name.length] ?? []), Buffer.from(name)];
  // Without holes: what is looked up for each string should be found at once.
  return Array.from(sorted);
}

/** So much of a string is looked at byte by byte: most strings are names and short words. */
const SHORT_BYTES = 16;
/** With so much left after that it pays to copy it to where it is skipped many bytes a step. */
const LONG_BYTES = 64;

/** Where the last text stands of those that are taken together. */
const LAST_FOUND = 4 * 31;

const OBJECT = 0;
const ARRAY = 1;

const VALUE = 0;
const VALUE_OR_END = 1;
const KEY = 2;
const KEY_OR_END = 3;
const AFTER_VALUE = 4;

/** A scan with its findings. One instance serves scan after scan; what it found is good until the next. */
export class JsonScan {
  readonly #keys: WatchedKeys;
  readonly #containers = new Uint8Array(MAX_DEPTH);
  readonly #skipper = new StringSkipper();
  /** Texts that were found and are to be taken: where each begins and ends, and where its key does; the key's beginning is -1 for none. */
  readonly #texts = new Int32Array(LAST_FOUND + 4);
  /** Where the last of them stands; -4 for none. */
  #found = -4;
  /** Where the value of each watched key begins, by the key's index; -1 when the key is absent. */
  readonly starts: Int32Array;
  /** Where it ends, exclusive. */
  readonly ends: Int32Array;
  /** What is wrong, for people, when {@link scan} returned false. */
  problem = "";
  /** Offset of what is wrong, from the beginning of the buffer. */
  problemAt = 0;
  /** Watched key that stands there twice, escaped or in other case, when that is what is wrong; else empty. */
  problemKey = "";
  /** Bytes of text, see {@link WatchOptions.text}, escapes counted as written: how much text the object carries. */
  textBytes = 0;
  /** Whether the watched nested key has a string that is not empty as its value somewhere. */
  nestedString = false;
  /** Offset just after the opening brace. */
  bodyStart = 0;
  /** Whether the object has no member. */
  isEmpty = true;

  constructor(keys: WatchedKeys) {
    this.#keys = keys;
    this.starts = new Int32Array(keys.names.length);
    this.ends = new Int32Array(keys.names.length);
  }

  /**
   * Scans `bytes` from `from` to `to` (exclusive). Returns whether it is an object as described; if not, see `problem`. Texts go to
   * `taker` while they are found, before it is known whether the rest is well formed.
   */
  scan(bytes: Uint8Array, from: number, to: number, taker?: TextTaker): boolean {
    this.#skipper.begin();
    this.textBytes = 0;
    const isObject = this.#scan(bytes, from, to, taker);
    this.#takeTexts(bytes, taker);
    return isObject;
  }

  /** Whether a watched member, by its key's index, was there in the `bytes` that were scanned last, and is not null. */
  has(bytes: Uint8Array, key: number): boolean {
    const start = this.starts[key]!;
    return start >= 0 && bytes[start] !== 0x6e;
  }

  /** The value of a watched member that was there in the `bytes` that were scanned last. */
  parse(bytes: Buffer, key: number): unknown {
    return JSON.parse(bytes.toString("utf8", this.starts[key], this.ends[key]));
  }

  #scan(bytes: Uint8Array, from: number, to: number, taker: TextTaker | undefined): boolean {
    this.starts.fill(-1);
    this.ends.fill(-1);
    this.problem = "";
    this.problemKey = "";
    this.isEmpty = true;
    this.nestedString = false;
    const { strict, nested, text, namesAreText } = this.#keys;
    const textDepth = text === "all" ? 0 : 1;
    const isWithin = text === "watched";
    const found = this.#texts;
    // The latest name of a member.
    let keyFrom = 0;
    let keyTo = 0;
    let atNested = false;
    const containers = this.#containers;
    let depth = 0;
    let state = VALUE;
    let watched = -1;
    let i = from;
    for (;;) {
      let byte = 0;
      while (i < to) {
        byte = bytes[i]!;
        if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
        i += 1;
      }
      if (i >= to) {
        if (depth === 0 && state === AFTER_VALUE) return true;
        return this.#refuse("it ends too early", to);
      }

      if (state === AFTER_VALUE) {
        if (depth === 0) return this.#refuse("more follows after its end", i);
        if (depth === 1 && watched >= 0) watched = -1;
        const container = containers[depth - 1];
        if (byte === 0x2c) {
          state = container === OBJECT ? KEY : VALUE;
          i += 1;
          continue;
        }
        if (byte === (container === OBJECT ? 0x7d : 0x5d)) {
          depth -= 1;
          i += 1;
          if (depth === 1 && watched >= 0) this.ends[watched] = i;
          continue;
        }
        return this.#refuse("a comma or a closing bracket is missing", i);
      }

      if (state === KEY || state === KEY_OR_END) {
        if (byte === 0x7d && state === KEY_OR_END) {
          depth -= 1;
          i += 1;
          if (depth === 1 && watched >= 0) this.ends[watched] = i;
          state = AFTER_VALUE;
          continue;
        }
        if (byte !== 0x22) return this.#refuse("the name of a member must stand in double quotes", i);
        const end = this.#skipString(bytes, i + 1, to);
        if (end < 0) return false;
        if (depth === 1) {
          this.isEmpty = false;
          watched = this.#findKey(bytes, i + 1, end - 1);
          if (watched === -2) return this.#refuse("a member that Weir reads is written in another way", i);
          if (strict && watched >= 0 && this.starts[watched] !== -1) {
            this.problemKey = this.#keys.names[watched]!;
            return this.#refuse("a member stands there twice", i);
          }
        } else {
          atNested = end - i - 2 === nested.length && nested.length > 0 && endOf(bytes, i + 1, to, nested) > 0;
        }
        keyFrom = i + 1;
        keyTo = end - 1;
        if (namesAreText && depth > 1 && watched >= 0) {
          this.#found += 4;
          const at = this.#found;
          found[at] = keyFrom;
          found[at + 1] = keyTo;
          found[at + 2] = -1;
          if (at === LAST_FOUND) this.#takeTexts(bytes, taker);
        }
        i = end;
        while (i < to) {
          byte = bytes[i]!;
          if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
          i += 1;
        }
        if (i >= to) return this.#refuse("it ends too early", to);
        if (byte !== 0x3a) return this.#refuse("a colon is missing after the name of a member", i);
        i += 1;
        state = VALUE;
        continue;
      }

      // A value is due.
      if (byte !== 0x22) atNested = false;
      if (byte === 0x5d && state === VALUE_OR_END) {
        depth -= 1;
        i += 1;
        if (depth === 1 && watched >= 0) this.ends[watched] = i;
        state = AFTER_VALUE;
        continue;
      }
      if (depth === 0 && byte !== 0x7b) return this.#refuse("it is not an object", i);
      if (depth === 1 && watched >= 0) this.starts[watched] = i;
      if (byte === 0x22) {
        const end = this.#skipString(bytes, i + 1, to);
        if (end < 0) return false;
        if (depth > 1 && atNested && end - i > 2) this.nestedString = true;
        if (depth > textDepth && (!isWithin || watched >= 0)) {
          this.#found += 4;
          const at = this.#found;
          found[at] = i + 1;
          found[at + 1] = end - 1;
          found[at + 2] = containers[depth - 1] === OBJECT ? keyFrom : -1;
          found[at + 3] = keyTo;
          if (at === LAST_FOUND) this.#takeTexts(bytes, taker);
        }
        i = end;
        state = AFTER_VALUE;
      } else if (byte === 0x7b || byte === 0x5b) {
        if (depth === MAX_DEPTH) return this.#refuse(`it is nested more than ${MAX_DEPTH} deep`, i);
        containers[depth] = byte === 0x7b ? OBJECT : ARRAY;
        depth += 1;
        i += 1;
        if (depth === 1) this.bodyStart = i;
        state = byte === 0x7b ? KEY_OR_END : VALUE_OR_END;
        continue;
      } else {
        const end = this.#skipWord(bytes, i, to, byte);
        if (end < 0) return this.#refuse("this is not a value", i);
        i = end;
        state = AFTER_VALUE;
      }
      if (depth === 1 && watched >= 0) this.ends[watched] = i;
    }
  }

  /** Returns the offset after the closing quote, or -1 with the problem set. `i` stands after the opening quote. */
  #skipString(bytes: Uint8Array, i: number, to: number): number {
    const near = Math.min(i + SHORT_BYTES, to);
    while (i < near) {
      const byte = bytes[i]!;
      if (byte === 0x22) return i + 1;
      if (byte < 0x20 || byte === 0x5c) break;
      i += 1;
    }
    return this.#skipRest(bytes, i, to);
  }

  /** The same from further within the string. It is a function of its own so that the above, being short, is inlined. */
  #skipRest(bytes: Uint8Array, i: number, to: number): number {
    // What ends the string, or is wrong in it, is judged below, wherever it was found.
    if (to - i >= LONG_BYTES) i = this.#skipper.skip(bytes, i, to);
    for (;;) {
      if (i >= to) {
        this.#refuse("it ends within a string", to);
        return -1;
      }
      const byte = bytes[i]!;
      if (byte === 0x22) return i + 1;
      if (byte < 0x20) {
        this.#refuse("a control character within a string must be escaped", i);
        return -1;
      }
      if (byte !== 0x5c) {
        i += 1;
        continue;
      }
      const escaped = i + 1 < to ? bytes[i + 1]! : 0;
      if (escaped === 0x75) {
        for (let digit = i + 2; digit < i + 6; digit += 1) {
          if (digit >= to || !isHex(bytes[digit]!)) {
            this.#refuse("an escape within a string is not one of JSON", i);
            return -1;
          }
        }
        i += 6;
      } else if (isSimpleEscape(escaped)) {
        i += 2;
      } else {
        this.#refuse("an escape within a string is not one of JSON", i);
        return -1;
      }
    }
  }

  /** Returns the offset after a number, `true`, `false` or `null`; -1 when it is none. */
  #skipWord(bytes: Uint8Array, i: number, to: number, first: number): number {
    if (first === 0x74) return endOf(bytes, i, to, TRUE);
    if (first === 0x66) return endOf(bytes, i, to, FALSE);
    if (first === 0x6e) return endOf(bytes, i, to, NULL);
    if (first === 0x2d) i += 1;
    if (i >= to || !isDigit(bytes[i]!)) return -1;
    if (bytes[i] === 0x30) i += 1;
    else while (i < to && isDigit(bytes[i]!)) i += 1;
    if (i < to && bytes[i] === 0x2e) {
      i += 1;
      if (i >= to || !isDigit(bytes[i]!)) return -1;
      while (i < to && isDigit(bytes[i]!)) i += 1;
    }
    if (i < to && (bytes[i] === 0x65 || bytes[i] === 0x45)) {
      i += 1;
      if (i < to && (bytes[i] === 0x2b || bytes[i] === 0x2d)) i += 1;
      if (i >= to || !isDigit(bytes[i]!)) return -1;
      while (i < to && isDigit(bytes[i]!)) i += 1;
    }
    return i;
  }

  /** Index of the watched key that stands from `from` to `to`; -1 when it is another; -2 when it only reads like one. */
  #findKey(bytes: Uint8Array, from: number, to: number): number {
    const length = to - from;
    const names = this.#keys.bytes;
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index]!;
      if (name.length !== length) continue;
      let same = true;
      let similar = true;
      for (let at = 0; at < length; at += 1) {
        const byte = bytes[from + at]!;
        if (byte === name[at]) continue;
        same = false;
        if (byte >= 0x41 && byte <= 0x5a && (byte | 0x20) === name[at]) continue;
        similar = false;
        break;
      }
      if (same) return index;
      if (similar && this.#keys.strict) {
        this.problemKey = this.#keys.names[index]!;
        return -2;
      }
    }
    if (!this.#keys.strict) return -1;
    // An escape takes at most six bytes a character. Beyond ASCII there are letters that some readers fold into it (Go's
    // encoding/json reads "ſtream" as "stream").
    for (let at = from; at < to; at += 1) {
      const byte = bytes[at]!;
      if (byte !== 0x5c && byte < 0x80) continue;
      if (length > this.#keys.longest * 6) return -1;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, length).toString("utf8");
      const folded = (JSON.parse(`"${text}"`) as string).toUpperCase().toLowerCase();
      const index = this.#keys.names.indexOf(folded);
      if (index < 0) return -1;
      this.problemKey = this.#keys.names[index]!;
      return -2;
    }
    return -1;
  }

  /** Takes the texts that were found. They are taken together, so that the loop that finds them stays small enough to be fast. */
  #takeTexts(bytes: Uint8Array, taker: TextTaker | undefined): void {
    const found = this.#texts;
    for (let at = 0; at <= this.#found; at += 4) {
      const from = found[at]!;
      const to = found[at + 1]!;
      const keyFrom = found[at + 2]!;
      if (from === to || (keyFrom >= 0 && this.#isNoText(bytes, keyFrom, found[at + 3]!))) continue;
      this.textBytes += to - from;
      taker?.take(bytes, from, to);
    }
    this.#found = -4;
  }

  /** Whether the strings of the key that stands from `from` to `to` are no text. */
  #isNoText(bytes: Uint8Array, from: number, to: number): boolean {
    const names = this.#keys.noText[to - from];
    if (names === undefined) return false;
    for (const name of names) if (endOf(bytes, from, to, name) > 0) return true;
    return false;
  }

  #refuse(problem: string, at: number): false {
    this.problem = problem;
    this.problemAt = at;
    return false;
  }
}

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");
const NULL = Buffer.from("null");

function endOf(bytes: Uint8Array, i: number, to: number, word: Uint8Array): number {
  if (i + word.length > to) return -1;
  for (let at = 0; at < word.length; at += 1) if (bytes[i + at] !== word[at]) return -1;
  return i + word.length;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHex(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

/** One of `"\/bfnrt` after a backslash. */
function isSimpleEscape(byte: number): boolean {
  return (
    byte === 0x22 ||
    byte === 0x5c ||
    byte === 0x2f ||
    byte === 0x62 ||
    byte === 0x66 ||
    byte === 0x6e ||
    byte === 0x72 ||
    byte === 0x74
  );
}
