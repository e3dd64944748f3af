import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

/** A request as a server got it. */
export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const authenticate = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();

/**
 * Verifies a signature as AWS does, from what came over the wire and the secret alone
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html); by hand, so that the router's library is
 * not its own judge. Returns the scope it is for; throws when it is wrong.
 */
export function verifySignature({ path, headers, body }: ReceivedRequest, secret: string): string {
  const [, keyId, scope, names, signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? "",
    ) ?? [];
  if (keyId === undefined || scope === undefined || names === undefined || signature === undefined) {
    throw new Error(`No signature: "${headers.authorization}"`);
  }
  for (const name of ["host", "x-amz-date"])
    if (!names.split(";").includes(name)) throw new Error(`Does not sign ${name}`);
  const [date = "", region = "", service = ""] = scope.split("/");
  const [place = "", query = ""] = path.split("?");
  // All services but S3 encode each segment, which is encoded already, once more.
  const segments = place.split("/").map((segment) => encodeURIComponent(segment));
  const signed = names.split(";").map((name) => `${name}:${String(headers[name]).trim().replaceAll(/ +/g, " ")}\n`);
  const canonical = ["POST", segments.join("/"), query, signed.join(""), names, hash(body)].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hash(canonical)].join("\n");
  const key = [date, region, service, "aws4_request"].reduce<string | Buffer>(authenticate, `AWS4${secret}`);
  if (!timingSafeEqual(authenticate(key, toSign), Buffer.from(signature, "hex"))) {
    throw new Error("The signature does not match the request");
  }
  return scope;
}
