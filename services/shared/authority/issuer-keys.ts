import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import type { Clock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { isTrustworthy, type KnownIssuer } from "./operators-file.ts";

/** Keys of this age are fetched again, beside the request that notices. */
const REFRESH_MS = 10 * 60_000;
/** An issuer that does not answer is believed by its last keys for this long. */
export const STALE_LIMIT_MS = 24 * 3_600_000;
/** Between two fetches, whatever tokens come: an unknown key id must not become a flood at the issuer. */
export const COOL_DOWN_MS = 10_000;
const FETCH_TIMEOUT_MS = 5_000;
const DOCUMENT_LIMIT_BYTES = 256 << 10;
const KEYS_LIMIT = 100;

/**
 * The public keys of an issuer: fetched when they are first needed, again when they are old or a token names one that is not among
 * them, never more often than every {@link COOL_DOWN_MS}. While the issuer is away its last keys go on for {@link STALE_LIMIT_MS}.
 */
export class IssuerKeys {
  readonly #issuer: Pick<KnownIssuer, "url" | "jwksUri">;
  readonly #clock: Clock;
  readonly #log: Log;
  #find: JWTVerifyGetKey | undefined;
  #fetchedMs = 0;
  #triedMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  constructor(options: {
    readonly issuer: Pick<KnownIssuer, "url" | "jwksUri">;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#issuer = options.issuer;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Finds the key of a token, for jose. Throws UNAVAILABLE when there are no keys to look at, jose's own error when there is no such key. */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const ageMs = this.#clock.monotonicMs() - this.#fetchedMs;
    if (this.#find === undefined || ageMs > STALE_LIMIT_MS) await this.#fetch();
    else if (ageMs > REFRESH_MS) void this.#fetch();
    if (this.#find === undefined || this.#clock.monotonicMs() - this.#fetchedMs > STALE_LIMIT_MS) {
      throw new WeirError("UNAVAILABLE", "Cannot verify token: the keys of its issuer are not to be had", {
        retryAfterMs: COOL_DOWN_MS,
      });
    }
    try {
      return await this.#find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#fetch();
      return await this.#find(header, token);
    }
  };

  /** Fetches at most one at a time, and not soon after the last time. Never rejects. */
  #fetch(): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#triedMs < COOL_DOWN_MS) return Promise.resolve();
    this.#triedMs = nowMs;
    this.#fetching = this.#read()
      .then(
        (find) => {
          this.#find = find;
          this.#fetchedMs = this.#clock.monotonicMs();
        },
        (error: unknown) =>
          this.#log.warn({ err: error, issuer: this.#issuer.url }, "Cannot fetch the keys of an issuer"),
      )
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  async #read(): Promise<JWTVerifyGetKey> {
    const { keys } = (await fetchJson(this.#issuer.jwksUri ?? (await this.#discover()))) as Partial<JSONWebKeySet>;
    if (!Array.isArray(keys)) throw new WeirError("UNAVAILABLE", "Cannot read keys: the document is no JWK set");
    // A shared secret is no public key: with one among them, whoever can read the set could sign.
    return createLocalJWKSet({ keys: keys.filter(({ kty }) => kty !== "oct").slice(0, KEYS_LIMIT) });
  }

  async #discover(): Promise<string> {
    const { url } = this.#issuer;
    const found = (await fetchJson(`${url.replace(/\/$/, "")}/.well-known/openid-configuration`)) as Record<
      string,
      unknown
    >;
    // OpenID Connect Discovery 1.0, section 4.3: else one issuer could speak for another.
    if (found.issuer !== url) throw new WeirError("UNAVAILABLE", "Cannot read discovery: it is that of another issuer");
    const { jwks_uri: uri } = found;
    if (typeof uri === "string" && isTrustworthy(uri)) return uri;
    throw new WeirError("UNAVAILABLE", "Cannot read discovery: its jwks_uri is no https URL");
  }
}

/** Reads a JSON document from outside, bounded in time and size; redirects are not followed. */
async function fetchJson(url: string): Promise<unknown> {
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new WeirError("UNAVAILABLE", `Cannot fetch keys: the issuer answered ${response.status}`);
  }
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of response.body) {
    sizeBytes += part.byteLength;
    // Leaving the loop cancels the body.
    if (sizeBytes > DOCUMENT_LIMIT_BYTES)
      throw new WeirError("UNAVAILABLE", "Cannot fetch keys: the document is too large");
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString("utf8"));
}
