import { BodyScan } from "../body-scan.ts";
import { invalid } from "../invalid.ts";
import type { ScannedRequest } from "../surface.ts";
import { ChatCompletionsRequest } from "./request.ts";

/** The members of a chat completions request that Weir reads; all others go to the provider as they came. */
const MODEL = 0;
const MESSAGES = 1;
const STREAM = 2;
const STREAM_OPTIONS = 3;
const MAX_TOKENS = 4;
const MAX_COMPLETION_TOKENS = 5;
const N = 6;
const USER = 7;
const scan = new BodyScan([
  "model",
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "n",
  "user",
]);

/** Most candidates, as in weir.router.v1.ChatInput. */
const MOST_CANDIDATES = 128;

/**
 * Reads the body of a chat completions request, which comes from outside (see {@link BodyScan}). Throws BODY_MALFORMED or
 * ARGUMENT_INVALID.
 */
export function scanRequest(bytes: Buffer): ScannedRequest {
  return scan.readBody(bytes, readRequest);
}

function readRequest(bytes: Buffer): ScannedRequest {
  const model = scan.readModel(MODEL);
  scan.checkList(MESSAGES);
  const streamed = scan.readFlag(STREAM);
  const request = new ChatCompletionsRequest({
    bytes,
    modelStart: scan.startOf(MODEL),
    modelEnd: scan.endOf(MODEL),
    streamed,
    streamOptionsStart: scan.startOf(STREAM_OPTIONS),
    streamOptionsEnd: scan.endOf(STREAM_OPTIONS),
    wantsUsage: streamed && readWantsUsage(),
  });
  const older = scan.readCount(MAX_TOKENS, Number.MAX_SAFE_INTEGER);
  const newer = scan.readCount(MAX_COMPLETION_TOKENS, Number.MAX_SAFE_INTEGER);
  // Which of the two a provider heeds is its own affair, so the larger one bounds what it can answer.
  const most = older === undefined || newer === undefined ? (older ?? newer) : Math.max(older, newer);
  return {
    request,
    model,
    maxOutputTokens: most === undefined ? undefined : BigInt(most),
    candidates: scan.readCount(N, MOST_CANDIDATES) ?? 1,
    endUser: scan.readEndUser(USER),
  };
}

function readWantsUsage(): boolean {
  if (scan.isAbsent(STREAM_OPTIONS)) return false;
  if (scan.byteOf(STREAM_OPTIONS) !== 0x7b) throw invalid("stream_options", "must be an object");
  const wanted = (scan.read(STREAM_OPTIONS) as { include_usage?: unknown }).include_usage;
  if (wanted === undefined || wanted === null || wanted === false) return false;
  if (wanted === true) return true;
  throw invalid("stream_options.include_usage", "must be true or false");
}
