import { isUtf8 } from "node:buffer";
import { JsonScan, watchKeys } from "../providers/json-scan.ts";
import { invalid, malformed } from "./invalid.ts";

/** Longest model id, in bytes, as in weir.event.v1.UsageRecorded. */
const LONGEST_MODEL = 256;
/** Longest pseudonym that is kept for reports, in bytes, as in weir.type.v1.Caller. A longer one is not. */
const LONGEST_END_USER = 128;

/**
 * Reads those top-level members of a request's body on which Weir acts, without parsing the rest. The body comes from outside: that it is UTF-8
 * and JSON of bounded depth is checked, and one of the members that stands there twice, escaped or in other case is refused,
 * for a provider might read another value than Weir did. One instance for a format serves body after body: what it found
 * is good within {@link BodyScan.readBody}. Members are named by their place in the list.
 */
export class BodyScan {
  readonly #names: readonly string[];
  readonly #scan: JsonScan;
  #bytes: Buffer = Buffer.alloc(0);

  /** Plain lower-case names. */
  constructor(names: readonly string[]) {
    this.#names = names;
    this.#scan = new JsonScan(watchKeys(names, { strict: true }));
  }

  /**
   * Looks through a body, lets `read` ask for its members, and lets go of it: it is the caller's whole request. Throws BODY_MALFORMED or
   * ARGUMENT_INVALID, whose facts name field and offset, and what `read` throws.
   */
  readBody<Result>(bytes: Buffer, read: (bytes: Buffer) => Result): Result {
    try {
      this.#check(bytes);
      return read(bytes);
    } finally {
      this.#bytes = NO_BYTES;
    }
  }

  #check(bytes: Buffer): void {
    if (!isUtf8(bytes)) throw malformed("it is not valid UTF-8");
    const scan = this.#scan;
    this.#bytes = bytes;
    if (scan.scan(bytes, 0, bytes.length)) return;
    const { problem, problemAt, problemKey } = scan;
    const facts = { offset: String(problemAt), ...(problemKey !== "" && { field: problemKey }) };
    if (problemKey === "") throw malformed(`${problem} (at byte ${problemAt})`, facts);
    throw invalid(problemKey, "must stand there once, unescaped and in lower case", facts);
  }

  /** Where a member's value begins; -1 when it is absent. */
  startOf(member: number): number {
    return this.#scan.starts[member]!;
  }

  /** Where a member's value ends. */
  endOf(member: number): number {
    return this.#scan.ends[member]!;
  }

  /** The first byte of a member's value; undefined when the member is absent. */
  byteOf(member: number): number | undefined {
    const start = this.#scan.starts[member]!;
    return start < 0 ? undefined : this.#bytes[start];
  }

  /** Whether a member is absent or null. */
  isAbsent(member: number): boolean {
    const first = this.byteOf(member);
    return first === undefined || first === 0x6e;
  }

  /** A member's value, parsed. */
  read(member: number): unknown {
    return JSON.parse(this.#bytes.toString("utf8", this.startOf(member), this.endOf(member)));
  }

  /** Throws unless the member is a list with something in it. */
  checkList(member: number): void {
    const bytes = this.#bytes;
    let i = this.startOf(member);
    if (i >= 0 && bytes[i] === 0x5b) {
      i += 1;
      while (bytes[i]! <= 0x20) i += 1;
      if (bytes[i] !== 0x5d) return;
    }
    throw invalid(this.#names[member]!, "must be a list, not empty");
  }

  /** The id of the model that is asked for. */
  readModel(member: number): string {
    const model = this.byteOf(member) === 0x22 ? this.#readText(member) : "";
    if (model === "") throw invalid(this.#names[member]!, "must be a text, not empty");
    // A character takes at most three bytes for each of its units.
    if (model.length * 3 > LONGEST_MODEL && Buffer.byteLength(model) > LONGEST_MODEL)
      throw invalid(this.#names[member]!, `must have at most ${LONGEST_MODEL} bytes`);
    return model;
  }

  /** A member that is true or false; false when absent. */
  readFlag(member: number): boolean {
    const first = this.byteOf(member);
    if (first === undefined || first === 0x6e || first === 0x66) return false;
    if (first === 0x74) return true;
    throw invalid(this.#names[member]!, "must be true or false");
  }

  /** A whole number from 1 to `most`; undefined when absent. */
  readCount(member: number, most: number): number | undefined {
    if (this.isAbsent(member)) return undefined;
    const count = this.read(member);
    if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > most) {
      throw invalid(this.#names[member]!, `must be a whole number from 1 to ${most}`);
    }
    return count as number;
  }

  /** The pseudonym of the person at the end; empty when not said, or too long to be kept. */
  readEndUser(member: number): string {
    if (this.isAbsent(member)) return "";
    if (this.byteOf(member) !== 0x22) throw invalid(this.#names[member]!, "must be a text");
    if (this.endOf(member) - this.startOf(member) > LONGEST_END_USER * 6) return "";
    return checkEndUser(this.read(member) as string, this.#names[member]!);
  }

  /** The text that stands from its opening quote to after its closing one. */
  #readText(member: number): string {
    const start = this.startOf(member);
    const end = this.endOf(member);
    const bytes = this.#bytes;
    for (let i = start; i < end; i += 1) {
      if (bytes[i] === 0x5c) return JSON.parse(bytes.toString("utf8", start, end)) as string;
    }
    // Without an escape the text is what stands there.
    return bytes.toString("utf8", start + 1, end - 1);
  }
}

const NO_BYTES = Buffer.alloc(0);

/** A pseudonym as it can be stored and shown: PostgreSQL takes no NUL, and a terminal should get no control characters. Empty when too long. */
export function checkEndUser(user: string, field: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(user)) throw invalid(field, "must not hold control characters");
  return user.isWellFormed() && Buffer.byteLength(user) <= LONGEST_END_USER ? user : "";
}
