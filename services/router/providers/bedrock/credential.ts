import { WeirError } from "../../../shared/errors/weir-error.ts";

/** What a Bedrock credential is: keys that sign each request, or an API key that is presented as it stands. */
export type Credential =
  | {
      readonly kind: "keys";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken: string;
    }
  | { readonly kind: "api-key"; readonly token: string };

/** An access key id, a secret access key and perhaps a session token. None of them has a colon. */
const KEYS = /^([A-Za-z0-9_]{8,128}):([^:\s]+)(?::([^:\s]+))?$/;
const API_KEY = /^[\x21-\x39\x3b-\x7e]+$/;

/**
 * Reads the secret of a Bedrock provider, which is one of
 *
 * - `ACCESS_KEY_ID:SECRET_ACCESS_KEY` or `ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN`;
 * - a JSON object with `accessKeyId`, `secretAccessKey` and, if it is temporary, `sessionToken`; or with these names in capitals
 *   (`AccessKeyId`), as `aws sts` and the processes of https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
 *   write them;
 * - a Bedrock API key (https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html), which has no colon.
 *
 * Throws SETTING_INVALID for anything else, without a word of what it was.
 */
export function readCredential(secret: string): Credential {
  if (secret.startsWith("{")) return readObject(secret);
  const [, accessKeyId, secretAccessKey, sessionToken = ""] = KEYS.exec(secret) ?? [];
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { kind: "keys", accessKeyId, secretAccessKey, sessionToken };
  }
  if (API_KEY.test(secret)) return { kind: "api-key", token: secret };
  throw refuse("it is neither keys, JSON nor an API key");
}

function readObject(secret: string): Credential {
  let members: Record<string, unknown>;
  try {
    members = JSON.parse(secret) as Record<string, unknown>;
  } catch {
    // The parser's own words quote the secret.
    throw refuse("it is not JSON, though it begins so");
  }
  const accessKeyId = toToken(members.accessKeyId ?? members.AccessKeyId);
  const secretAccessKey = toToken(members.secretAccessKey ?? members.SecretAccessKey);
  const sessionToken = toToken(members.sessionToken ?? members.SessionToken);
  if (accessKeyId === "" || secretAccessKey === "") throw refuse("it lacks accessKeyId or secretAccessKey");
  return { kind: "keys", accessKeyId, secretAccessKey, sessionToken };
}

/** What may stand in a header; empty for anything else. */
function toToken(value: unknown): string {
  return typeof value === "string" && /^[\x21-\x7e]*$/.test(value) ? value : "";
}

function refuse(state: string): WeirError {
  return new WeirError("SETTING_INVALID", `Cannot read Bedrock credential: ${state}`);
}
