import { timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import { hashKey, parseKey } from "../key/key.ts";
import type { Log } from "../telemetry/log.ts";
import { ADMIN_KEY_ISSUER, type Identity, type Operator, type Service } from "./identity.ts";
import { IssuerKeys } from "./issuer-keys.ts";
import type { KnownIssuer, KnownOperators } from "./operators-file.ts";
import { verifyToken } from "./token.ts";

/** What is known of whoever sends a request, before anybody believes it. */
export interface Peer {
  /** The header "authorization", as it came. */
  readonly authorization: string | undefined;
  /** The service that the certificate of the connection names, if it has one of the mesh. */
  readonly service: Service | undefined;
  /** Whether it came in plain text to a listener on loopback. */
  readonly isLocal: boolean;
}

/** The environment in the text of an admin key: `weir_admin_…`. */
export const ADMIN_ENVIRONMENT = "admin";

const BEARER = /^Bearer +(\S+)$/i;

/**
 * Says who asks: an operator by token or admin key, a service by its certificate, a process of this machine, or nobody known. A request
 * that brings a token is judged by the token alone.
 */
export class Authority {
  readonly #clock: Clock;
  readonly #log: Log;
  #operators: KnownOperators;
  /** By issuer: kept over changes of the document that leave the issuer as it is. */
  #keys = new Map<string, IssuerKeys>();

  constructor(options: { readonly operators: KnownOperators; readonly clock: Clock; readonly log: Log }) {
    this.#operators = options.operators;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Takes another document; requests from now on are judged by it. */
  replace(operators: KnownOperators): void {
    const wanted = new Set([...operators.issuers.values()].map(nameKeys));
    this.#keys = new Map([...this.#keys].filter(([name]) => wanted.has(name)));
    this.#operators = operators;
  }

  /** Says who asks. Throws TOKEN_REFUSED for a token that is not good, UNAVAILABLE when that can't be said now. */
  identify({ authorization, service, isLocal }: Peer): Identity | Promise<Identity> {
    if (authorization === undefined) return service ?? (isLocal ? { kind: "neighbour" } : { kind: "stranger" });
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) throw refuse('the header "authorization" must be "Bearer" and a token');
    if (token.startsWith("weir_")) return this.#findAdminKey(token);
    const { issuers } = this.#operators;
    return verifyToken(token, { issuers, keysOf: (issuer) => this.#keysOf(issuer).find, clock: this.#clock });
  }

  #findAdminKey(text: string): Operator {
    const parsed = parseKey(text);
    const sha256 = hashKey(text);
    const known = parsed?.environment === ADMIN_ENVIRONMENT ? this.#operators.adminKeys.get(parsed.keyId) : undefined;
    if (known === undefined || !timingSafeEqual(sha256, known.sha256)) throw refuse("it is not known");
    if (known.expiresAtMs !== undefined && known.expiresAtMs <= this.#clock.nowMs()) throw refuse("it has expired");
    return { kind: "operator", issuer: ADMIN_KEY_ISSUER, subject: known.id, grants: known.grants };
  }

  #keysOf(issuer: KnownIssuer): IssuerKeys {
    const name = nameKeys(issuer);
    let keys = this.#keys.get(name);
    if (keys === undefined) {
      keys = new IssuerKeys({ issuer, clock: this.#clock, log: this.#log });
      this.#keys.set(name, keys);
    }
    return keys;
  }
}

function nameKeys({ url, jwksUri = "" }: KnownIssuer): string {
  return `${url} ${jwksUri}`;
}

function refuse(state: string): WeirError {
  return new WeirError("TOKEN_REFUSED", `Cannot accept token: ${state}`);
}
