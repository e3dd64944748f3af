import { isUtf8 } from "node:buffer";
import { Dialect } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { RelayedRequest } from "../providers/dialect.ts";
import { JsonScan, watchKeys } from "../providers/json-scan.ts";

/** The members of a chat completions request that Weir reads; all others go to the provider as they came. */
const NAMES = [
  "model",
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "n",
  "user",
] as const;
type Name = (typeof NAMES)[number];
const KEYS = Object.fromEntries(NAMES.map((name, index) => [name, index])) as Record<Name, number>;
const scan = new JsonScan(watchKeys(NAMES, { strict: true }));

/** Longest model id, in bytes, as in weir.event.v1.UsageRecorded. */
const LONGEST_MODEL = 256;
/** Most candidates, as in weir.router.v1.ChatInput. */
const MOST_CANDIDATES = 128;
/** Longest pseudonym that is kept for reports, in bytes, as in weir.type.v1.Caller. A longer one is not. */
const LONGEST_END_USER = 128;

/** What a chat completions request says, as far as Weir reads it. */
export interface ScannedRequest {
  readonly request: RelayedRequest;
  readonly model: string;
  readonly maxOutputTokens: bigint | undefined;
  readonly candidates: number;
  readonly endUser: string;
}

/**
 * Reads the body of a chat completions request. It comes from outside: that it is UTF-8 and JSON of bounded depth is checked,
 * the members that Weir acts on are typed, and one of them that stands there twice, escaped or in other case is refused, for a
 * provider might read another value than Weir did. Throws BODY_MALFORMED or ARGUMENT_INVALID; facts name field and offset.
 */
export function scanRequest(bytes: Buffer): ScannedRequest {
  if (!isUtf8(bytes)) throw malformed("it is not valid UTF-8", {});
  if (!scan.scan(bytes, 0, bytes.length)) {
    const { problem, problemAt, problemKey } = scan;
    const facts = { offset: String(problemAt), ...(problemKey !== "" && { field: problemKey }) };
    if (problemKey === "") throw malformed(`${problem} (at byte ${problemAt})`, facts);
    throw invalid(problemKey, "must stand there once, unescaped and in lower case", facts);
  }
  const model = readModel(bytes);
  if (byteAt(bytes, "messages") !== 0x5b || isEmptyArray(bytes)) throw invalid("messages", "must be a list, not empty");
  const streamed = readFlag(bytes, "stream");
  const { stream_options: options } = KEYS;
  const request: RelayedRequest = {
    dialect: Dialect.OPENAI,
    bytes,
    modelStart: scan.starts[KEYS.model]!,
    modelEnd: scan.ends[KEYS.model]!,
    streamed,
    streamOptionsStart: scan.starts[options]!,
    streamOptionsEnd: scan.ends[options]!,
    wantsUsage: streamed && readWantsUsage(bytes),
  };
  const older = readCount(bytes, "max_tokens", Number.MAX_SAFE_INTEGER);
  const newer = readCount(bytes, "max_completion_tokens", Number.MAX_SAFE_INTEGER);
  // Which of the two a provider heeds is its own affair, so the larger one bounds what it can answer.
  const most = older === undefined || newer === undefined ? (older ?? newer) : Math.max(older, newer);
  return {
    request,
    model,
    maxOutputTokens: most === undefined ? undefined : BigInt(most),
    candidates: readCount(bytes, "n", MOST_CANDIDATES) ?? 1,
    endUser: readEndUser(bytes),
  };
}

function readModel(bytes: Buffer): string {
  const model =
    byteAt(bytes, "model") === 0x22 ? readText(bytes, scan.starts[KEYS.model]!, scan.ends[KEYS.model]!) : "";
  if (model === "") throw invalid("model", "must be a text, not empty");
  // A character takes at most three bytes for each of its units.
  if (model.length * 3 > LONGEST_MODEL && Buffer.byteLength(model) > LONGEST_MODEL)
    throw invalid("model", `must have at most ${LONGEST_MODEL} bytes`);
  return model;
}

function readFlag(bytes: Buffer, name: Name): boolean {
  const first = byteAt(bytes, name);
  if (first === undefined || first === 0x6e || first === 0x66) return false;
  if (first === 0x74) return true;
  throw invalid(name, "must be true or false");
}

function readWantsUsage(bytes: Buffer): boolean {
  const first = byteAt(bytes, "stream_options");
  if (first === undefined || first === 0x6e) return false;
  if (first !== 0x7b) throw invalid("stream_options", "must be an object");
  const wanted = (read(bytes, "stream_options") as { include_usage?: unknown }).include_usage;
  if (wanted === undefined || wanted === null || wanted === false) return false;
  if (wanted === true) return true;
  throw invalid("stream_options.include_usage", "must be true or false");
}

function readCount(bytes: Buffer, name: Name, most: number): number | undefined {
  const first = byteAt(bytes, name);
  if (first === undefined || first === 0x6e) return undefined;
  const count = read(bytes, name);
  if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > most) {
    throw invalid(name, `must be a whole number from 1 to ${most}`);
  }
  return count as number;
}

function readEndUser(bytes: Buffer): string {
  const first = byteAt(bytes, "user");
  if (first === undefined || first === 0x6e) return "";
  if (first !== 0x22) throw invalid("user", "must be a text");
  if (scan.ends[KEYS.user]! - scan.starts[KEYS.user]! > LONGEST_END_USER * 6) return "";
  const user = read(bytes, "user") as string;
  // It is stored and shown; PostgreSQL takes no NUL, and a terminal should get no control characters.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(user)) throw invalid("user", "must not hold control characters");
  return user.isWellFormed() && Buffer.byteLength(user) <= LONGEST_END_USER ? user : "";
}

/** The first byte of a member's value; undefined when the member is absent. */
function byteAt(bytes: Buffer, name: Name): number | undefined {
  const start = scan.starts[KEYS[name]]!;
  return start < 0 ? undefined : bytes[start];
}

function isEmptyArray(bytes: Buffer): boolean {
  let i = scan.starts[KEYS.messages]! + 1;
  while (bytes[i]! <= 0x20) i += 1;
  return bytes[i] === 0x5d;
}

/** The text that stands from its opening quote to after its closing one. */
function readText(bytes: Buffer, start: number, end: number): string {
  for (let i = start; i < end; i += 1) {
    if (bytes[i] === 0x5c) return JSON.parse(bytes.toString("utf8", start, end)) as string;
  }
  // Without an escape the text is what stands there.
  return bytes.toString("utf8", start + 1, end - 1);
}

function read(bytes: Buffer, name: Name): unknown {
  return JSON.parse(bytes.toString("utf8", scan.starts[KEYS[name]], scan.ends[KEYS[name]]));
}

function malformed(state: string, facts: Readonly<Record<string, string>>): WeirError {
  return new WeirError("BODY_MALFORMED", `Cannot read request: its body is not as it should be: ${state}`, { facts });
}

function invalid(field: string, state: string, facts: Readonly<Record<string, string>> = {}): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot read request: "${field}" ${state}`, {
    facts: { ...facts, field },
    violations: [{ field, description: state }],
  });
}
