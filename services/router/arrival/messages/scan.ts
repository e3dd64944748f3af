import { BodyScan, checkEndUser } from "../body-scan.ts";
import { invalid } from "../invalid.ts";
import type { ScannedRequest } from "../surface.ts";
import { CountTokensRequest, MessagesRequest } from "./request.ts";

/** The members of a request for messages that Weir reads; all others go to the provider as they came. */
const MODEL = 0;
const MESSAGES = 1;
const STREAM = 2;
const MAX_TOKENS = 3;
const METADATA = 4;
const scan = new BodyScan(["model", "messages", "stream", "max_tokens", "metadata"]);

/**
 * Reads the body of a request for messages, which comes from outside (see {@link BodyScan}). Throws BODY_MALFORMED or
 * ARGUMENT_INVALID.
 */
export function scanRequest(bytes: Buffer): ScannedRequest {
  return scan.readBody(bytes, readRequest);
}

function readRequest(bytes: Buffer): ScannedRequest {
  const found = find();
  const maxOutputTokens = readMaxTokens();
  return {
    ...found,
    maxOutputTokens,
    request: new MessagesRequest({ ...placeModel(bytes), streamed: scan.readFlag(STREAM) }),
  };
}

/** Reads the body of a request to count tokens: the same without what is about the answer. It is never streamed. */
export function scanCountRequest(bytes: Buffer): ScannedRequest {
  return scan.readBody(bytes, readCountRequest);
}

function readCountRequest(bytes: Buffer): ScannedRequest {
  // Nothing is answered, so nothing can be answered at most.
  return {
    ...find(),
    maxOutputTokens: 0n,
    request: new CountTokensRequest({ ...placeModel(bytes), streamed: false }),
  };
}

function find(): Pick<ScannedRequest, "model" | "candidates" | "endUser"> {
  const model = scan.readModel(MODEL);
  scan.checkList(MESSAGES);
  return { model, candidates: 1, endUser: readEndUser() };
}

function placeModel(bytes: Buffer) {
  return { bytes, modelStart: scan.startOf(MODEL), modelEnd: scan.endOf(MODEL) };
}

/** The cap on the answer's tokens. 0 asks for no answer at all, only for the cache to be filled. */
function readMaxTokens(): bigint | undefined {
  if (scan.isAbsent(MAX_TOKENS)) return undefined;
  const count = scan.read(MAX_TOKENS);
  if (!Number.isSafeInteger(count) || (count as number) < 0)
    throw invalid("max_tokens", "must be a whole number from 0");
  return BigInt(count as number);
}

function readEndUser(): string {
  if (scan.isAbsent(METADATA)) return "";
  if (scan.byteOf(METADATA) !== 0x7b) throw invalid("metadata", "must be an object");
  const { user_id: user } = scan.read(METADATA) as { user_id?: unknown };
  if (user === undefined || user === null) return "";
  if (typeof user !== "string") throw invalid("metadata.user_id", "must be a text");
  return checkEndUser(user, "metadata.user_id");
}
