/**
 * The life of a key after it was made: updated, rotated, disabled and enabled, revoked for ever. Each change is the next version of
 * the keyring in every region.
 */
import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import {
  DisableKeyRequestSchema,
  EnableKeyRequestSchema,
  RevokeKeyRequestSchema,
  type RotateKeyRequest,
  RotateKeyRequestSchema,
  type UpdateKeyRequest,
  UpdateKeyRequestSchema,
} from "../../gen/weir/policy/v1/key_service_pb.ts";
import type { KeyGrant } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createSecret } from "../shared/key/key.ts";
import type { Acting } from "./acting.ts";
import { createKeyRecord } from "./distribution/key-record.ts";
import { mintKeyring } from "./distribution/mint-keyring.ts";
import { getKey } from "./get-key.ts";
import { findSettingViolations } from "./keys/check-key.ts";
import { disableGrant, enableGrant, revokeGrant, rotateGrant, updateGrant } from "./keys/edit-grant.ts";
import { createEtag, decodeGrant, encodeGrant } from "./keys/grant.ts";
import { indexGrant } from "./keys/index-grant.ts";
import { pickSettings } from "./keys/pick-settings.ts";
import { afterCommit, type ChangeParts } from "./publish.ts";
import { change } from "./store/change.ts";
import { findRequestDigest, rememberRequest } from "./store/key-requests.ts";
import { listRegions } from "./store/snapshots.ts";
import { type StoredKey, updateKeyRow } from "./store/virtual-keys.ts";

/** What every change of a key is asked with. */
export interface KeyChangeRequest {
  readonly requestId: string;
  readonly organisation: string;
  readonly keyId: string;
  /** Etag that the operator has seen; empty checks nothing. */
  readonly etag: string;
  readonly comment: string;
}

/** A key as a change left it, with the version of the keyring by which each region acts on it. */
export interface ChangedKey {
  readonly key: StoredKey;
  readonly keyrings: readonly { readonly region: string; readonly version: bigint }[];
}

const DAY_MS = 86_400_000;

/** Changes the settings that the mask names. Throws ARGUMENT_INVALID for what does not fit the published policy. */
export async function updateKey(parts: ChangeParts, request: UpdateKeyRequest, acting: Acting): Promise<ChangedKey> {
  const { displayName, ...settings } = pickSettings(request);
  const labels = request.settings?.labels ?? {};
  const ordered = Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  const asked = { ...request, ...(request.settings && { settings: { ...request.settings, labels: ordered } }) };
  return await changeKey(parts, request, acting, {
    act: "update key",
    change: KeyChange.UPDATED,
    digest: digest(UpdateKeyRequestSchema, asked),
    edit: async (grant, at, client) => {
      await parts.current.check(client, "update key", (policy) =>
        findSettingViolations(policy, settings, at.getTime()).map(({ field, description }) => ({
          field: `settings.${field}`,
          description,
        })),
      );
      return { grant: updateGrant(grant, settings), ...(displayName !== undefined && { displayName }) };
    },
  });
}

/** Gives a key a new secret, which is returned once; absent when the request was a repeat. */
export async function rotateKey(
  parts: ChangeParts,
  request: RotateKeyRequest,
  acting: Acting,
): Promise<ChangedKey & { readonly secret: string | undefined }> {
  const { overlap } = request;
  const overlapMs = overlap === undefined ? DAY_MS : Number(overlap.seconds) * 1_000 + Math.floor(overlap.nanos / 1e6);
  let secret: string | undefined;
  const changed = await changeKey(parts, request, acting, {
    act: "rotate key",
    change: KeyChange.ROTATED,
    digest: digest(RotateKeyRequestSchema, request),
    edit: async (grant, at) => {
      const made = createSecret(grant.environment, grant.keyId);
      secret = made.text;
      return { grant: rotateGrant(grant, made.sha256, at, overlapMs), rotatedAt: at };
    },
  });
  return { ...changed, secret };
}

/** Disables a key until it is enabled again; a disabled one stays as it is. */
export async function disableKey(
  parts: ChangeParts,
  request: MessageShape<typeof DisableKeyRequestSchema>,
  acting: Acting,
): Promise<ChangedKey> {
  return await changeKey(parts, request, acting, {
    act: "disable key",
    change: KeyChange.DISABLED,
    digest: digest(DisableKeyRequestSchema, request),
    edit: async (grant, at) => (grant.disabledAt === undefined ? { grant: disableGrant(grant, at) } : undefined),
  });
}

/** Enables a disabled key; one that is not disabled stays as it is. */
export async function enableKey(
  parts: ChangeParts,
  request: MessageShape<typeof EnableKeyRequestSchema>,
  acting: Acting,
): Promise<ChangedKey> {
  return await changeKey(parts, request, acting, {
    act: "enable key",
    change: KeyChange.ENABLED,
    digest: digest(EnableKeyRequestSchema, request),
    edit: async (grant) => (grant.disabledAt === undefined ? undefined : { grant: enableGrant(grant) }),
  });
}

/** Revokes a key, for ever; a revoked one stays as it is. */
export async function revokeKey(
  parts: ChangeParts,
  request: MessageShape<typeof RevokeKeyRequestSchema>,
  acting: Acting,
): Promise<ChangedKey> {
  return await changeKey(parts, request, acting, {
    act: "revoke key",
    change: KeyChange.REVOKED,
    digest: digest(RevokeKeyRequestSchema, request),
    edit: async (grant, at) => ({ grant: revokeGrant(grant, at) }),
  });
}

/** What one change does to a key. */
interface KeyEdit {
  readonly act: string;
  readonly change: KeyChange;
  /** Of the request, to tell a repeat from another request under the same id. */
  readonly digest: Uint8Array;
  /** What the key is afterwards; nothing when it is that already. Never asked for a revoked key. */
  readonly edit: (
    grant: KeyGrant,
    at: Date,
    client: PoolClient,
  ) => Promise<{ readonly grant: KeyGrant; readonly displayName?: string; readonly rotatedAt?: Date } | undefined>;
}

/**
 * Changes a key. Throws NOT_FOUND as `getKey` does, VERSION_CONFLICT when the etag is another, ALREADY_EXISTS when the request id changed
 * something else, ARGUMENT_INVALID for a revoked key, unless it is to be revoked.
 */
async function changeKey(
  parts: ChangeParts,
  request: KeyChangeRequest,
  acting: Acting,
  edit: KeyEdit,
): Promise<ChangedKey> {
  const { requestId, organisation, keyId } = request;
  const { access, signal } = acting;
  const changed = await change(
    parts.pool,
    async (client) => {
      const key = await getKey(client, { organisation, keyId, access, act: edit.act });
      const regions = (await listRegions(client)).map(({ region }) => region);
      const isRepeat = checkRepeat(await findRequestDigest(client, requestId, access.actor), edit, request);
      const done = isRepeat ? key : await store(client, parts, { actor: access.actor, request, edit, key, regions });
      return { key: done, keyrings: regions.map((region) => ({ region, version: done.grantVersion })) };
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return changed;
}

interface Change {
  readonly actor: string;
  readonly request: KeyChangeRequest;
  readonly edit: KeyEdit;
  readonly key: StoredKey;
  readonly regions: readonly string[];
}

async function store(
  client: PoolClient,
  { signer, clock, catalogue }: ChangeParts,
  { actor, request, edit, key, regions }: Change,
): Promise<StoredKey> {
  const { requestId, organisation, keyId, comment } = request;
  const before = decodeGrant(key.grant);
  if (before.revokedAt !== undefined) {
    if (edit.change === KeyChange.REVOKED) return key;
    throw new WeirError("ARGUMENT_INVALID", `Cannot ${edit.act} "${keyId}": it was revoked, which is for ever`, {
      violations: [{ field: "key_id", description: "is the id of a revoked key" }],
      facts: { key_id: keyId },
    });
  }
  const at = new Date(clock.nowMs());
  const after = await edit.edit(before, at, client);
  if (after === undefined) return key;
  checkEtag(request, key, edit.act);
  const { displayName = key.displayName, rotatedAt = key.rotatedAt } = after;
  const grant = encodeGrant(after.grant);
  const changes = [{ id: keyId, grant }];
  const minted = await mintKeyring(client, { known: catalogue.keyring, changes, regions, signer, at });
  const revokedVersion = after.grant.revokedAt === undefined ? undefined : minted.version;
  await updateKeyRow(client, { ...indexGrant(after.grant), displayName, rotatedAt, revokedVersion });
  await rememberRequest(client, { requestId, requestedBy: actor, digest: edit.digest, at });
  const act = { change: edit.change, actor, requestId, organisation, keyId, tenant: "", comment };
  await appendToOutbox(client, createKeyRecord({ ...act, before: key.grant, after: grant }, minted, regions, at));
  return { ...key, displayName, rotatedAt, grant, grantVersion: minted.version };
}

function checkEtag({ etag, keyId }: KeyChangeRequest, key: StoredKey, act: string): void {
  const current = createEtag(key.grant, key.displayName);
  if (etag === "" || etag === current) return;
  throw new WeirError("VERSION_CONFLICT", `Cannot ${act} "${keyId}": its etag is "${current}", not "${etag}"`, {
    facts: { key_id: keyId, etag: current },
  });
}

function checkRepeat(known: Uint8Array | undefined, edit: KeyEdit, { requestId, keyId }: KeyChangeRequest): boolean {
  if (known === undefined) return false;
  if (Buffer.compare(known, edit.digest) === 0) return true;
  throw new WeirError(
    "ALREADY_EXISTS",
    `Cannot ${edit.act} "${keyId}": request id "${requestId}" made another change`,
    {
      facts: { request_id: requestId, key_id: keyId },
    },
  );
}

function digest<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): Uint8Array {
  return createHash("sha256").update(schema.typeName).update(toBinary(schema, request)).digest();
}
