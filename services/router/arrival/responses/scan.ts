import { WeirError } from "../../../shared/errors/weir-error.ts";
import { BodyScan } from "../body-scan.ts";
import { invalid } from "../invalid.ts";
import type { ScannedRequest } from "../surface.ts";
import { ResponsesRequest } from "./request.ts";

/** The members of a request for a response that Weir reads; all others go to the provider as they came. */
const MODEL = 0;
const INPUT = 1;
const STREAM = 2;
const MAX_OUTPUT_TOKENS = 3;
const USER = 4;
const SAFETY_IDENTIFIER = 5;
const PREVIOUS_RESPONSE_ID = 6;
const CONVERSATION = 7;
const PROMPT = 8;
const BACKGROUND = 9;
const scan = new BodyScan([
  "model",
  "input",
  "stream",
  "max_output_tokens",
  "user",
  "safety_identifier",
  "previous_response_id",
  "conversation",
  "prompt",
  "background",
]);

/**
 * Reads the body of a request for a response (https://platform.openai.com/docs/api-reference/responses/create), which comes from
 * outside (see {@link BodyScan}). Throws BODY_MALFORMED or ARGUMENT_INVALID, and NOT_SERVED for a response in the background: it
 * would go on without a caller, its answer could not be fetched through Weir, and nobody could say what it cost.
 */
export function scanRequest(bytes: Buffer): ScannedRequest {
  return scan.readBody(bytes, readRequest);
}

function readRequest(bytes: Buffer): ScannedRequest {
  const model = scan.readModel(MODEL);
  const isBound = !scan.isAbsent(PREVIOUS_RESPONSE_ID) || !scan.isAbsent(CONVERSATION) || !scan.isAbsent(PROMPT);
  checkInput(isBound);
  if (scan.readFlag(BACKGROUND)) {
    throw new WeirError("NOT_SERVED", "Cannot serve request: Weir does not serve responses in the background", {
      facts: { field: "background" },
    });
  }
  const request = new ResponsesRequest({
    bytes,
    modelStart: scan.startOf(MODEL),
    modelEnd: scan.endOf(MODEL),
    streamed: scan.readFlag(STREAM),
    isBound,
  });
  const most = scan.readCount(MAX_OUTPUT_TOKENS, Number.MAX_SAFE_INTEGER);
  const user = scan.readEndUser(USER);
  const safetyIdentifier = scan.readEndUser(SAFETY_IDENTIFIER);
  return {
    request,
    model,
    maxOutputTokens: most === undefined ? undefined : BigInt(most),
    candidates: 1,
    endUser: user === "" ? safetyIdentifier : user,
  };
}

/** A text, or a list with something in it. What an account holds may take its place. */
function checkInput(isBound: boolean): void {
  if (scan.isAbsent(INPUT) && isBound) return;
  if (scan.byteOf(INPUT) === 0x22) return;
  if (scan.byteOf(INPUT) !== 0x5b) throw invalid("input", "must be a text or a list, not empty");
  if (!isBound) scan.checkList(INPUT);
}
