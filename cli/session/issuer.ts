import {
  allowInsecureRequests,
  type Configuration,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  refreshTokenGrant,
  type TokenEndpointResponse,
  type TokenEndpointResponseHelpers,
  tokenRevocation,
} from "openid-client";
import { systemClock } from "../../services/shared/clock.ts";
import { escapeControl } from "../output.ts";
import type { Session } from "./session-file.ts";

/** How an operator signs in. */
export interface SignInOptions {
  /** URL of the issuer, https unless it is on this machine. */
  readonly issuer: string;
  /** Id of a public client that may use the device flow. */
  readonly clientId: string;
  /** What is asked for, separated by spaces. Default "openid offline_access". */
  readonly scope?: string;
  /** See {@link Session}. */
  readonly resource?: string;
  /** Ends the wait for the operator. */
  readonly signal?: AbortSignal;
}

/** Where an operator says yes, and by which code the issuer knows to what. */
export interface DevicePrompt {
  readonly uri: string;
  readonly code: string;
}

/** How long an issuer may take for an answer, seconds. */
const TIMEOUT_S = 10;

/**
 * Signs an operator in by the device flow (RFC 8628): `tell` says where to go and with which code, in whatever browser; the issuer is asked
 * until the operator has said yes there. Throws with what the issuer says when it is no, or too late.
 */
export async function signIn(options: SignInOptions, tell: (prompt: DevicePrompt) => void): Promise<Session> {
  const { issuer, clientId, resource, scope = "openid offline_access", signal } = options;
  return await translate(`sign in at "${issuer}"`, async () => {
    const client = await discover(issuer, clientId);
    const asked = toAsked(resource);
    const begun = await initiateDeviceAuthorization(client, { scope, ...asked });
    tell({ uri: begun.verification_uri_complete ?? begun.verification_uri, code: begun.user_code });
    const answer = await pollDeviceAuthorizationGrant(client, begun, asked, signal === undefined ? {} : { signal });
    return toSession({ issuer, clientId, ...asked }, answer);
  });
}

/** Asks the issuer for the session's next token. Throws when it gives none any more. */
export async function renewSession(session: Session): Promise<Session> {
  const { issuer, clientId, resource, refreshToken } = session;
  if (refreshToken === undefined) {
    throw new Error(`Cannot renew session: "${issuer}" has given nothing to do it by; sign in again with weir login`);
  }
  return await translate("renew session, sign in again with weir login", async () => {
    const client = await discover(issuer, clientId);
    const asked = toAsked(resource);
    const answer = await refreshTokenGrant(client, refreshToken, asked);
    // An issuer that rotates them gives a new one, any other means the same.
    return { refreshToken, ...toSession({ issuer, clientId, ...asked }, answer) };
  });
}

/** Tells the issuer that the session is over, if it wants to hear of that (RFC 7009). */
export async function revokeSession({ issuer, clientId, refreshToken }: Session): Promise<void> {
  if (refreshToken === undefined) return;
  await translate("revoke session", async () => {
    const client = await discover(issuer, clientId);
    if (client.serverMetadata().revocation_endpoint !== undefined) await tokenRevocation(client, refreshToken);
  });
}

function toAsked(resource: string | undefined): { resource: string } | Record<never, string> {
  return resource === undefined ? {} : { resource };
}

async function discover(issuer: string, clientId: string): Promise<Configuration> {
  const url = new URL(issuer);
  // What does not leave this machine needs no TLS.
  const isLocal = url.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  return await discovery(url, clientId, undefined, None(), {
    timeout: TIMEOUT_S,
    execute: isLocal ? [allowInsecureRequests] : [],
  });
}

type Answer = TokenEndpointResponse & TokenEndpointResponseHelpers;

/** How long an access token is taken to be good, of which the issuer does not say it, seconds. */
const DEFAULT_LIFE_S = 300;

function toSession(asked: Pick<Session, "issuer" | "clientId" | "resource">, answer: Answer): Session {
  const { access_token, refresh_token } = answer;
  const next = refresh_token === undefined ? {} : { refreshToken: refresh_token };
  if (asked.resource !== undefined) {
    const expiresAtMs = systemClock.nowMs() + (answer.expiresIn() ?? DEFAULT_LIFE_S) * 1_000;
    return { ...asked, token: access_token, expiresAtMs, ...next };
  }
  const { id_token } = answer;
  const endS = answer.claims()?.exp;
  if (id_token === undefined || endS === undefined) {
    throw new Error('it gave no token that says who signed in; is "openid" in the scope?');
  }
  return { ...asked, token: id_token, expiresAtMs: endS * 1_000, ...next };
}

/** Errors of the issuer, and of the library, by what they say. Neither holds a token. */
async function translate<T>(act: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    throw new Error(`Cannot ${act}: ${describe(cause)}`, { cause });
  }
}

function describe(thrown: unknown): string {
  // An error of RFC 6749 has the first two, one of the network a cause with a code.
  const { error, error_description, message, cause } = thrown as Partial<Record<string, string>> & {
    cause?: { code?: string };
  };
  const [what, why] = error === undefined ? [message, cause?.code] : [error, error_description];
  return escapeControl(why === undefined ? `${what}` : `${what} (${why})`);
}
