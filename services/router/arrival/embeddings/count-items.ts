import { invalid } from "../invalid.ts";

/** Most inputs of a request, as in weir.router.v1.EmbeddingInput. */
const MOST_ITEMS = 2048;
/** Most tokens of one input, as in weir.router.v1.TokenList. */
const MOST_TOKENS = 65_536;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const SPACE = 0x20;

/** Kinds of values, as far as an input has them. */
type Kind = "text" | "list" | "number";

/**
 * Checks the `input` of a request for embeddings, which is well-formed JSON from outside, without parsing it: a text, a list of
 * texts, a list of tokens, or a list of such lists; none empty, at most {@link MOST_ITEMS} of them, at most {@link MOST_TOKENS}
 * tokens each. `start` and `end` (exclusive) say where it stands; a `start` of -1 is none. Throws ARGUMENT_INVALID.
 */
export function checkItems(bytes: Buffer, start: number, end: number): void {
  if (start < 0) throw invalid("input", "must be there");
  if (bytes[start] === QUOTE) {
    if (end - start === 2) throw invalid("input", "must not be an empty text");
    return;
  }
  if (bytes[start] !== OPEN) throw invalid("input", "must be a text or a list");
  const list = new ListWalk(bytes, start);
  const kind = list.kind;
  if (kind === undefined) throw invalid("input", "must not be an empty list");
  const most = kind === "number" ? MOST_TOKENS : MOST_ITEMS;
  while (list.kind !== undefined) {
    if (list.kind !== kind)
      throw invalid("input", "must be a list of values of one kind: texts, tokens, or lists of tokens");
    if (list.count > most)
      throw invalid("input", `must have at most ${most} ${kind === "number" ? "tokens" : "items"}`);
    if (kind === "list") list.at = checkTokens(bytes, list.at, `input[${list.count - 1}]`);
    else if (kind === "text") list.at = skipText(bytes, list.at, `input[${list.count - 1}]`);
    else list.at = skipToken(bytes, list.at, "input");
    list.next();
  }
}

/** Walks over the values of a list. Who reads a value moves `at` behind it. */
class ListWalk {
  readonly #bytes: Buffer;
  at: number;
  /** How many values were met, this one included. */
  count = 1;
  /** Kind of the value at `at`; undefined at the end of the list. */
  kind: Kind | undefined;

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.at = start + 1;
    this.#look();
  }

  next(): void {
    this.#skipSpace();
    if (this.#bytes[this.at] === COMMA) {
      this.at += 1;
      this.count += 1;
    }
    this.#look();
  }

  #look(): void {
    this.#skipSpace();
    const byte = this.#bytes[this.at]!;
    if (byte === CLOSE) this.kind = undefined;
    else if (byte === QUOTE) this.kind = "text";
    else if (byte === OPEN) this.kind = "list";
    else if (isDigit(byte)) this.kind = "number";
    else throw invalid("input", "must be a text, a list of texts, a list of tokens, or a list of such lists");
  }

  #skipSpace(): void {
    while (this.#bytes[this.at]! <= SPACE) this.at += 1;
  }
}

/** Checks a list of tokens; returns where it ends. */
function checkTokens(bytes: Buffer, start: number, field: string): number {
  const list = new ListWalk(bytes, start);
  if (list.kind === undefined) throw invalid(field, "must not be an empty list");
  while (list.kind !== undefined) {
    if (list.kind !== "number") throw invalid(field, "must be a list of tokens");
    if (list.count > MOST_TOKENS) throw invalid(field, `must have at most ${MOST_TOKENS} tokens`);
    list.at = skipToken(bytes, list.at, field);
    list.next();
  }
  return list.at + 1;
}

/** A token is a whole number of 32 bits, which has at most ten digits. */
function skipToken(bytes: Buffer, start: number, field: string): number {
  let at = start;
  while (isDigit(bytes[at]!)) at += 1;
  const byte = bytes[at]!;
  const isWhole = byte === COMMA || byte === CLOSE || byte <= SPACE;
  if (!isWhole || at - start > 10 || (at - start === 10 && Number(bytes.toString("latin1", start, at)) > 0xffff_ffff)) {
    throw invalid(field, "must have tokens that are whole numbers of 32 bits");
  }
  return at;
}

function skipText(bytes: Buffer, start: number, field: string): number {
  let at = start + 1;
  if (bytes[at] === QUOTE) throw invalid(field, "must not be an empty text");
  for (;;) {
    at = bytes.indexOf(QUOTE, at);
    let slashes = 0;
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes += 1;
    at += 1;
    if (slashes % 2 === 0) return at;
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
