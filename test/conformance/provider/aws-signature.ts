import { createHash, createHmac } from "node:crypto";

/** What of a request AWS's signature stands over. */
export interface SignedRequest {
  readonly method: string;
  /** As it came, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/**
 * Says what is wrong with a request's Signature Version 4 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html);
 * undefined when it is good, or when a bearer key stands in its place. Written here by hand, so that the router's library is checked
 * by something that is not itself. Paths are encoded once on the wire and once more for the signature.
 */
export function findSignatureFault(request: SignedRequest, secretAccessKey: string): string | undefined {
  const said = String(request.headers.authorization ?? "");
  if (said.startsWith("Bearer ")) return undefined;
  const form =
    /^AWS4-HMAC-SHA256 Credential=[^/]+\/(\d{8})\/([\w-]+)\/([\w-]+)\/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})$/;
  const [, day, region, service, names, signature] = form.exec(said) ?? [];
  if (day === undefined || region === undefined || service === undefined || names === undefined) {
    return "the header authorization is no signature";
  }
  const date = String(request.headers["x-amz-date"] ?? "");
  if (!date.startsWith(day)) return "x-amz-date is not of the credential's day";
  for (const name of ["host", "x-amz-date"]) {
    if (!names.split(";").includes(name)) return `${name} is not signed`;
  }
  const [path = "", query = ""] = request.path.split("?");
  const canonical = [
    request.method,
    path.split("/").map(encode).join("/"),
    query.split("&").sort().join("&"),
    ...names.split(";").map((name) => `${name}:${String(request.headers[name] ?? "").trim()}`),
    "",
    names,
    hash(request.body),
  ].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, hash(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce<Buffer | string>(hmac, `AWS4${secretAccessKey}`);
  return hmac(key, toSign).toString("hex") === signature ? undefined : "the signature does not match";
}

function encode(segment: string): string {
  return encodeURIComponent(segment).replaceAll(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
