/** The life of a key: made → honoured in every region → revoked, for ever. Each change is the next version of the keyring. */
import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import { type CreateKeyRequest, CreateKeyRequestSchema } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { type FieldViolation, WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import { createKey } from "../shared/key/key.ts";
import { createRecordFact } from "./distribution/facts.ts";
import { type MintedKeyring, mintKeyring } from "./distribution/mint-keyring.ts";
import { createEtag, createGrant, decodeGrant, digestGrant, encodeGrant, revokeGrant } from "./keys/grant.ts";
import { ACTOR, afterCommit, type ChangeParts } from "./publish.ts";
import { change } from "./store/change.ts";
import { findPolicy } from "./store/policy-versions.ts";
import { listRegions } from "./store/snapshots.ts";
import { findKey, findKeyByRequest, insertKey, markRevoked, type StoredKey } from "./store/virtual-keys.ts";

/** A key that was made. */
export interface MadeKey {
  readonly key: StoredKey;
  /** The whole key, once and never again; absent when the request was a repeat. */
  readonly secret: string | undefined;
}

/**
 * Makes a key. Throws ARGUMENT_INVALID with every field that does not fit the published policy, ALREADY_EXISTS when the request id
 * made another key.
 */
export async function makeKey(parts: ChangeParts, request: CreateKeyRequest, signal?: AbortSignal): Promise<MadeKey> {
  const requestDigest = createHash("sha256").update(toBinary(CreateKeyRequestSchema, request)).digest();
  const made = await change(
    parts.pool,
    async (client) => {
      const repeated = await findKeyByRequest(client, request.requestId);
      if (repeated !== undefined) return { key: checkRepeat(repeated, requestDigest, request), secret: undefined };
      await checkRequest(client, request, parts.clock.nowMs());
      return await storeKey(client, parts, request, requestDigest);
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return made;
}

/** What an operator wants revoked. */
export interface RevokeRequest {
  readonly requestId: string;
  readonly organisation: string;
  readonly keyId: string;
  /** Etag that the operator has seen; empty checks nothing. */
  readonly etag: string;
  readonly comment: string;
}

/** A key that is revoked, with the version of the keyring from which each region refuses it. */
export interface RevokedKey {
  readonly key: StoredKey;
  readonly keyrings: readonly { readonly region: string; readonly version: bigint }[];
}

/** Revokes a key, for ever; a revoked one stays as it is. Throws NOT_FOUND, or VERSION_CONFLICT when the etag is another. */
export async function revokeKey(parts: ChangeParts, request: RevokeRequest, signal?: AbortSignal): Promise<RevokedKey> {
  const { organisation, keyId, etag } = request;
  const revoked = await change(
    parts.pool,
    async (client) => {
      const key = await findKey(client, organisation, keyId);
      if (key === undefined) {
        throw new WeirError("NOT_FOUND", `Cannot revoke key: organisation "${organisation}" has no key "${keyId}"`, {
          facts: { organisation, key_id: keyId },
        });
      }
      const regions = (await listRegions(client)).map(({ region }) => region);
      const done = key.revokedVersion === undefined ? await storeRevocation(client, parts, request, key, regions) : key;
      const version = done.revokedVersion as bigint;
      return { key: done, keyrings: regions.map((region) => ({ region, version })) };
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return revoked;

  async function storeRevocation(
    client: PoolClient,
    { signer, clock, catalogue }: ChangeParts,
    { requestId, comment }: RevokeRequest,
    key: StoredKey,
    regions: readonly string[],
  ): Promise<StoredKey> {
    const current = createEtag(key.grant);
    if (etag !== "" && etag !== current) {
      throw new WeirError("VERSION_CONFLICT", `Cannot revoke key "${keyId}": its etag is "${current}", not "${etag}"`, {
        facts: { key_id: keyId, etag: current },
      });
    }
    const at = new Date(clock.nowMs());
    const grant = encodeGrant(revokeGrant(decodeGrant(key.grant), at));
    const changes = [{ id: keyId, grant }];
    const minted = await mintKeyring(client, { known: catalogue.keyring, changes, regions, signer, at });
    await markRevoked(client, keyId, minted.version);
    await record(client, parts, {
      at,
      organisation,
      regions,
      minted,
      change: KeyChange.REVOKED,
      requestId,
      keyId,
      comment,
      before: key.grant,
      after: grant,
    });
    return { ...key, grant, revokedVersion: minted.version };
  }
}

async function storeKey(
  client: PoolClient,
  parts: ChangeParts,
  request: CreateKeyRequest,
  requestDigest: Uint8Array,
): Promise<MadeKey> {
  const { signer, clock, catalogue } = parts;
  const { organisation, requestId, displayName } = request;
  const at = new Date(clock.nowMs());
  const { keyId, text, sha256 } = createKey(request.environment);
  const grant = encodeGrant(createGrant(request, { keyId, sha256 }));
  const regions = (await listRegions(client)).map(({ region }) => region);
  const changes = [{ id: keyId, grant }];
  const minted = await mintKeyring(client, { known: catalogue.keyring, changes, regions, signer, at });
  await insertKey(client, { keyId, organisation, displayName, createdAt: at, requestDigest, requestId });
  await record(client, parts, {
    at,
    organisation,
    regions,
    minted,
    change: KeyChange.CREATED,
    requestId,
    keyId,
    comment: "",
    before: undefined,
    after: grant,
  });
  const key = (await findKey(client, organisation, keyId)) as StoredKey;
  return { key, secret: text };
}

interface KeyRecord {
  readonly at: Date;
  readonly organisation: string;
  readonly regions: readonly string[];
  readonly minted: MintedKeyring;
  readonly change: KeyChange;
  readonly requestId: string;
  readonly keyId: string;
  readonly comment: string;
  readonly before: Uint8Array | undefined;
  readonly after: Uint8Array;
}

async function record(client: PoolClient, { clock }: ChangeParts, done: KeyRecord): Promise<void> {
  const { at, organisation, regions, minted, before, after, requestId, keyId, comment } = done;
  const fact = createRecordFact({
    recordId: createEventId(clock.nowMs()),
    at,
    organisation,
    act: {
      case: "keyChange",
      value: {
        actor: ACTOR,
        requestId,
        keyId,
        comment,
        change: done.change,
        beforeDigest: before === undefined ? new Uint8Array() : digestGrant(before),
        afterDigest: digestGrant(after),
        keyrings: regions.map((region) => ({ region, version: minted.version, digest: minted.digest })),
      },
    },
  });
  await appendToOutbox(client, fact);
}

function checkRepeat(repeated: StoredKey, digest: Uint8Array, { requestId }: CreateKeyRequest): StoredKey {
  if (Buffer.compare(repeated.requestDigest, digest) === 0) return repeated;
  throw new WeirError("ALREADY_EXISTS", `Cannot create key: request id "${requestId}" made key "${repeated.keyId}"`, {
    facts: { request_id: requestId, key_id: repeated.keyId },
  });
}

async function checkRequest(client: PoolClient, request: CreateKeyRequest, nowMs: number): Promise<void> {
  const stored = await findPolicy(client, 0n);
  const violations =
    stored === undefined ? [] : findViolations(request, fromBinary(PolicySchema, stored.content), nowMs);
  if (stored === undefined) violations.push({ field: "organisation", description: "no policy is published yet" });
  if (violations.length === 0) return;
  const list = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  throw new WeirError("ARGUMENT_INVALID", `Cannot create key: ${list}`, { violations });
}

function findViolations(request: CreateKeyRequest, policy: Policy, nowMs: number): FieldViolation[] {
  const { models, expiresAt } = request;
  const violations: FieldViolation[] = [];
  const report = (field: string, description: string): void => void violations.push({ field, description });
  const organisation = policy.organisations.find(({ id }) => id === request.organisation);
  const team = organisation?.teams.find(({ id }) => id === request.team);
  const app = team?.apps.find(({ id }) => id === request.app);
  // The first that is not there: below it nothing can be.
  if (organisation === undefined) report("organisation", `"${request.organisation}" is not in the policy`);
  else if (team === undefined) report("team", `"${request.team}" is not a team of "${request.organisation}"`);
  else if (app === undefined) report("app", `"${request.app}" is not an app of "${request.team}"`);
  else if (!app.environments.includes(request.environment)) {
    report("environment", `"${request.environment}" is not an environment of "${request.app}"`);
  }
  const known = new Set(policy.models.map(({ id }) => id));
  models.forEach((model, index) => {
    if (model === "*" && models.length > 1) report(`models[${index}]`, '"*" means all and stands alone');
    else if (model !== "*" && !known.has(model)) report(`models[${index}]`, `"${model}" is not in the policy`);
  });
  if (expiresAt !== undefined && timestampMs(expiresAt) <= nowMs) report("expires_at", "must lie in the future");
  return violations.slice(0, 50);
}
