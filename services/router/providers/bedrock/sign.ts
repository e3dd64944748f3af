import aws4 from "aws4";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import type { UnsignedRequest } from "../dialect.ts";
import { type Credential, readCredential } from "./credential.ts";

/** What is signed: a request with all the headers that the signature covers beside those it makes itself. */
export interface SignedPart {
  readonly method: string;
  readonly host: string;
  /** As it goes over the wire: percent-encoded once, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly region: string;
  readonly service: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/**
 * Signs a request to Bedrock with AWS Signature Version 4
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html): returns the headers to add. None for an API key, which
 * is presented as it stands. Throws SETTING_INVALID when the credential can't be read or no region is set.
 */
export function sign({ origin, path, body, settings, nowMs }: UnsignedRequest, secret: string): string[] {
  const credential = readCredential(secret);
  if (credential.kind === "api-key") return [];
  if (settings.cloudRegion === "") {
    throw new WeirError("SETTING_INVALID", "Cannot sign request: the provider's cloud region is not set");
  }
  const { host } = new URL(origin);
  const headers = { "content-type": "application/json" };
  const part = { method: "POST", host, path, headers, body, region: settings.cloudRegion, service: "bedrock", nowMs };
  return signPart(part, credential);
}

/** The same for any service: what Bedrock's own signature is made with, and what AWS's test vectors are about. */
export function signPart(part: SignedPart, credential: Credential & { readonly kind: "keys" }): string[] {
  const { method, host, path, headers, body, region, service, nowMs } = part;
  const date = new Date(nowMs).toISOString().replaceAll(/[:-]|\.\d{3}/g, "");
  const made = ["x-amz-date", date];
  if (credential.sessionToken !== "") made.push("x-amz-security-token", credential.sessionToken);
  const signed: Record<string, string> = { ...headers, host };
  for (let at = 0; at < made.length; at += 2) signed[made[at]!] = made[at + 1]!;
  // Left to itself the signer would add headers that undici writes, too.
  const request = { method, path, headers: signed, body, region, service, doNotModifyHeaders: true };
  const signer = new aws4.RequestSigner(request, credential);
  signer.datetime = date;
  return [...made, "authorization", signer.authHeader()];
}
