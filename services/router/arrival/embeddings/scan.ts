import { BodyScan } from "../body-scan.ts";
import { invalid } from "../invalid.ts";
import type { ScannedRequest } from "../surface.ts";
import { checkItems } from "./count-items.ts";
import { base64Embeddings, floatEmbeddings } from "./embeddings.ts";
import { EmbeddingsRequest } from "./request.ts";

/** The members of a request for embeddings that Weir reads; all others go to the provider as they came. */
const MODEL = 0;
const INPUT = 1;
const ENCODING_FORMAT = 2;
const DIMENSIONS = 3;
const USER = 4;
const scan = new BodyScan(["model", "input", "encoding_format", "dimensions", "user"]);

/** Most numbers of a vector, as in weir.router.v1.EmbeddingInput. */
const MOST_DIMENSIONS = 65_536;

/**
 * Reads the body of a request for embeddings (https://platform.openai.com/docs/api-reference/embeddings/create), which comes from
 * outside (see {@link BodyScan}). Throws BODY_MALFORMED or ARGUMENT_INVALID.
 */
export function scanRequest(bytes: Buffer): ScannedRequest {
  return scan.readBody(bytes, readRequest);
}

function readRequest(bytes: Buffer): ScannedRequest {
  const model = scan.readModel(MODEL);
  checkItems(bytes, scan.startOf(INPUT), scan.endOf(INPUT));
  scan.readCount(DIMENSIONS, MOST_DIMENSIONS);
  const request = new EmbeddingsRequest(bytes, scan.startOf(MODEL), scan.endOf(MODEL));
  return {
    request,
    model,
    format: isBase64() ? base64Embeddings : floatEmbeddings,
    // Vectors are no tokens: nothing of the answer is billed.
    maxOutputTokens: 0n,
    candidates: 1,
    endUser: scan.readEndUser(USER),
  };
}

function isBase64(): boolean {
  if (scan.isAbsent(ENCODING_FORMAT)) return false;
  const encoding = scan.read(ENCODING_FORMAT);
  if (encoding !== "float" && encoding !== "base64") throw invalid("encoding_format", 'must be "float" or "base64"');
  return encoding === "base64";
}
