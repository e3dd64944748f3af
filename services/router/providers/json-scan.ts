/**
 * Reads the structure of a JSON object without making one: it accepts what `JSON.parse` accepts (RFC 8259, an object at the
 * top, no byte order mark), nested at most {@link MAX_DEPTH} deep, and says where the values of chosen top-level keys stand.
 * It reads hostile input, so it never recurses and allocates nothing per scan. That the bytes are UTF-8 is checked by the
 * caller (`node:buffer` isUtf8), not here.
 */

/** Deepest nesting of arrays and objects, the outermost included. A tool's schema needs a tenth of it. */
export const MAX_DEPTH = 256;

/** What else a scan does. All optional. */
export interface WatchOptions {
  /**
   * Refuses an object in which a watched key stands twice, escaped or in other case, because its next reader may read it
   * differently. Default false: the last one counts, as with `JSON.parse`.
   */
  readonly strict?: boolean;
  /** A key below the top level of which is said whether one has a string as its value. Default none. */
  readonly nested?: string;
  /** Size in bytes from which on strings are read in whole words, which has to be prepared for each scan. Default 128. */
  readonly wordsFromBytes?: number;
}

/** The top-level keys that a scan looks for. */
export interface WatchedKeys {
  readonly names: readonly string[];
  /** The names as bytes, in the same order. */
  readonly bytes: readonly Uint8Array[];
  readonly longest: number;
  readonly strict: boolean;
  readonly nested: Uint8Array;
  readonly wordsFromBytes: number;
}

/** Makes a set of keys to look for: plain lower-case ASCII names. Do it once, not per scan. */
export function watchKeys(names: readonly string[], options: WatchOptions = {}): WatchedKeys {
  return {
    names,
    bytes: names.map((name) => Buffer.from(name)),
    longest: Math.max(...names.map((name) => name.length)),
    strict: options.strict ?? false,
    nested: Buffer.from(options.nested ?? ""),
    wordsFromBytes: options.wordsFromBytes ?? LONG_BYTES,
  };
}

const PLAIN = 0;
const QUOTE = 1;
const BACKSLASH = 2;
const CONTROL = 3;
/** What a byte means within a string. */
const IN_STRING = new Uint8Array(256);
IN_STRING.fill(CONTROL, 0, 0x20);
IN_STRING[0x22] = QUOTE;
IN_STRING[0x5c] = BACKSLASH;

/** From this size on it pays to look at whole words. */
const LONG_BYTES = 128;
const NO_WORDS = new Int32Array(0);

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
  /** The memory that the scanned bytes stand in, as words, and where in it they begin; empty for a short scan. */
  #words: Int32Array = NO_WORDS;
  #offset = 0;
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
  /** Bytes within string values below the top level, escapes counted as written: how much text the object carries. */
  textBytes = 0;
  /** Whether the watched nested key has a string as its value somewhere. */
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

  /** Scans `bytes` from `from` to `to` (exclusive). Returns whether it is an object as described; if not, see `problem`. */
  scan(bytes: Uint8Array, from: number, to: number): boolean {
    if (to - from < this.#keys.wordsFromBytes) return this.#scan(bytes, from, to);
    // Four bytes at a time within strings takes a quarter of the time.
    this.#offset = bytes.byteOffset;
    this.#words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
    const result = this.#scan(bytes, from, to);
    // The bytes are another's, and may be large: they are not held on to.
    this.#words = NO_WORDS;
    return result;
  }

  #scan(bytes: Uint8Array, from: number, to: number): boolean {
    this.starts.fill(-1);
    this.ends.fill(-1);
    this.problem = "";
    this.problemKey = "";
    this.textBytes = 0;
    this.isEmpty = true;
    this.nestedString = false;
    const { strict, nested } = this.#keys;
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
        if (depth > 1) {
          this.textBytes += end - i - 2;
          if (atNested) this.nestedString = true;
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
    const words = this.#words;
    for (;;) {
      if (words.length > 0) i = skipPlain(bytes, words, this.#offset, i, to);
      while (i < to && IN_STRING[bytes[i]!] === PLAIN) i += 1;
      if (i >= to) {
        this.#refuse("it ends within a string", to);
        return -1;
      }
      const kind = IN_STRING[bytes[i]!];
      if (kind === QUOTE) return i + 1;
      if (kind === CONTROL) {
        this.#refuse("a control character within a string must be escaped", i);
        return -1;
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

  #refuse(problem: string, at: number): false {
    this.problem = problem;
    this.problemAt = at;
    return false;
  }
}

/**
 * Skips plain bytes of a string, four at a time once they are aligned. Returns an offset at or before the first byte that is
 * none: at most three bytes are left to look at singly. A word holds a byte below n if `(w - n×0x01010101) & ~w & 0x80808080`
 * is not zero. XOR 0x02 takes the quote (0x22) to 0x20 and leaves the control characters below it, so one look for bytes below
 * 0x21 finds both; XOR 0x5c takes the backslash to 0. Longer steps (four words, BigInt words) were no faster.
 */
function skipPlain(bytes: Uint8Array, words: Int32Array, offset: number, i: number, to: number): number {
  while (((offset + i) & 3) !== 0) {
    if (i >= to || IN_STRING[bytes[i]!] !== PLAIN) return i;
    i += 1;
  }
  let index = (offset + i) >> 2;
  const end = (offset + to) >> 2;
  while (index < end) {
    const word = words[index]!;
    const low = word ^ 0x02020202;
    const slash = word ^ 0x5c5c5c5c;
    if (((((low - 0x21212121) & ~low) | ((slash - 0x01010101) & ~slash)) & 0x80808080) !== 0) break;
    index += 1;
  }
  return (index << 2) - offset;
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
