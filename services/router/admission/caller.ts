import { timingSafeEqual } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type KeyGrant, KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type Caller, CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { type AcceptedSecret, listSecrets } from "../../shared/decision/key-secrets.ts";
import { hashKey, parseKey } from "../../shared/key/key.ts";
import type { Keyring } from "../../shared/snapshot/keyring.ts";
import type { Denial } from "./admission.ts";
import { type CallerHeaders, findKeyText } from "./credentials.ts";

/** Who asks: proven by the secret of a key that the region knows. Whether the key is still good is another question. */
export interface ProvenCaller {
  readonly kind: "caller";
  readonly grant: KeyGrant;
  readonly caller: Caller;
  /** When the secret that proved it stops being good, milliseconds since 1970; Infinity when only the key itself ends. */
  readonly secretExpiresAtMs: number;
}

/** Stands for the key of an id that nobody has. Without a secret, so nobody is proven by it. */
const NOBODY = create(KeyGrantSchema);
/**
 * Compared with where there is no secret, so that an id that nobody has takes the time of a wrong secret, and a key with one that of
 * a key with two. No text hashes to it that anyone knows.
 */
const NO_SECRET: AcceptedSecret = { sha256: new Uint8Array(32), expiresAtMs: Number.NEGATIVE_INFINITY };
/** A key has at most so many secrets. */
const SECRETS = 2;
const NO_SECRETS: readonly AcceptedSecret[] = new Array(SECRETS).fill(NO_SECRET);
/** One message for an unknown id and for a wrong secret: which of the two it was is nobody's business. */
const UNKNOWN: Denial = {
  kind: "denial",
  reason: "KEY_UNKNOWN",
  message: "Cannot accept key: it is not known here",
  facts: {},
};
const MALFORMED: Denial = {
  kind: "denial",
  reason: "KEY_MALFORMED",
  message: "Cannot accept key: it does not have the form of a Weir key, or was mistyped",
  facts: {},
};
const MISSING: Denial = {
  kind: "denial",
  reason: "KEY_MISSING",
  message: "Cannot accept call: it has no key; send it as 'Authorization: Bearer <key>'",
  facts: {},
};

/**
 * Finds who asks by the key that is presented. A revoked key has no secret any longer: it is known by its id alone, and the
 * denial names that, but nobody is proven by it.
 */
export function findCaller(keyring: Keyring, headers: CallerHeaders): ProvenCaller | Denial {
  const text = findKeyText(headers);
  if (text === undefined) return MISSING;
  const { connection } = headers;
  if (connection === undefined) return proveCaller(keyring, text);
  // Callers keep their connection and their key, and to hash it takes longer than all else that is done to admit a call.
  const before = provenOn.get(connection);
  if (before?.keyring === keyring && isSame(before.text, text)) return before.proven;
  const proven = proveCaller(keyring, text);
  if (proven.kind === "caller") provenOn.set(connection, { keyring, text: Buffer.from(text), proven });
  return proven;
}

/** What was proven last on a connection, and under which keyring. */
interface ProvenKey {
  readonly keyring: Keyring;
  readonly text: Buffer;
  readonly proven: ProvenCaller;
}

/** By connection, and gone with it. */
const provenOn = new WeakMap<object, ProvenKey>();

/** In a time that does not say where they differ: a connection may come from a proxy that serves many. */
function isSame(known: Buffer, text: string): boolean {
  const presented = Buffer.from(text);
  return known.length === presented.length && timingSafeEqual(known, presented);
}

function proveCaller(keyring: Keyring, text: string): ProvenCaller | Denial {
  const key = parseKey(text);
  if (key === undefined) return MALFORMED;
  // The same work for an id that nobody has as for a wrong secret (S6), so nothing is remembered of ids: each is hashed to look for it.
  const grant = keyring.find(key.keyId) ?? NOBODY;
  const presented = hashKey(text);
  // Each is compared, so that the time does not say which one it was.
  let matching: AcceptedSecret | undefined;
  for (const secret of toSecrets(grant)) {
    if (timingSafeEqual(presented, secret.sha256)) matching = secret;
  }
  if (grant.revokedAt !== undefined) return revoked(grant);
  if (matching === undefined || grant === NOBODY) return UNKNOWN;
  return { kind: "caller", grant, caller: toCaller(grant), secretExpiresAtMs: matching.expiresAtMs };
}

/** The secrets of a grant, as many as a key can have. Listed once a grant. */
function toSecrets(grant: KeyGrant): readonly AcceptedSecret[] {
  let secrets = secretsOf.get(grant);
  if (secrets === undefined) {
    secrets = [...listSecrets(grant), ...NO_SECRETS].slice(0, SECRETS);
    secretsOf.set(grant, secrets);
  }
  return secrets;
}

/** By grant, and gone with it. */
const secretsOf = new WeakMap<KeyGrant, readonly AcceptedSecret[]>();

/** The caller that a grant makes. Made once a grant: it is the same for each call. */
function toCaller(grant: KeyGrant): Caller {
  let caller = callers.get(grant);
  if (caller === undefined) {
    const { keyId, organisation, team, app, environment } = grant;
    caller = create(CallerSchema, { identity: { case: "keyId", value: keyId }, organisation, team, app, environment });
    callers.set(grant, caller);
  }
  return caller;
}

/** By grant, and gone with it. */
const callers = new WeakMap<KeyGrant, Caller>();

// The keyring holds no hash of a revoked key, so its secret cannot be checked: without a caller nothing is written for it.
function revoked({ keyId }: KeyGrant): Denial {
  return {
    kind: "denial",
    reason: "KEY_REVOKED",
    message: `Cannot accept key "${keyId}": it was revoked`,
    facts: { key_id: keyId },
  };
}
