import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Key, KeySchema, type KeyService, KeyState } from "../../gen/weir/policy/v1/key_service_pb.ts";
import type { KeyGrant } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { getAccess } from "../shared/authority/access.ts";
import { createPageToken, readNumberToken, readPageSize } from "../shared/page.ts";
import { mapInSteps, runInSlices } from "../shared/snapshot/slices.ts";
import { toActing } from "./acting.ts";
import { type ChangedKey, disableKey, enableKey, revokeKey, rotateKey, updateKey } from "./change-key.ts";
import { getKey } from "./get-key.ts";
import { findOldSecretExpiry } from "./keys/edit-grant.ts";
import { createEtag, decodeGrant } from "./keys/grant.ts";
import { type MadeKey, makeKeys } from "./make-keys.ts";
import type { ChangeParts } from "./publish.ts";
import { type KeyFilter, listKeys } from "./store/list-keys.ts";
import type { StoredKey } from "./store/virtual-keys.ts";

const PAGE = { default: 50, max: 200 };

/** Serves weir.policy.v1.KeyService. A secret leaves through the answers that make it, and only once. */
export function createKeyService(parts: ChangeParts): ServiceImpl<typeof KeyService> {
  const show = (key: StoredKey): Key => toKey(key, parts.clock.nowMs());
  const showMade = ({ key, secret }: MadeKey) => ({ key: show(key), secret: secret ?? "" });
  const showChanged = ({ key, keyrings }: ChangedKey) => ({ key: show(key), keyrings: [...keyrings] });
  return {
    async createKey(request, context) {
      const [made] = await makeKeys(parts, [request], () => "", toActing(context));
      return showMade(made as MadeKey);
    },
    async batchCreateKeys({ requests }, context) {
      const made = await makeKeys(parts, requests, (index) => `requests[${index}].`, toActing(context));
      return { keys: await runInSlices(mapInSteps(made, showMade)) };
    },
    async getKey({ organisation, keyId }, context) {
      const key = await getKey(parts.pool, { organisation, keyId, access: getAccess(context), act: "show key" });
      return { key: show(key) };
    },
    async listKeys({ organisation, team, app, environment, state, labels, pageSize, pageToken }) {
      const limit = readPageSize(pageSize, PAGE);
      const asked = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
      const list = ["keys", organisation, team, app, environment, state, asked];
      const filter = { organisation, team, app, environment, labels, state: toState(state) };
      const now = new Date(parts.clock.nowMs());
      const before = readNumberToken(list, pageToken);
      // One more than the page has, to know whether there is another.
      const found = await listKeys(parts.pool, filter, { before, limit: limit + 1, now });
      const keys = found.slice(0, limit);
      const last = found.length > limit ? keys.at(-1) : undefined;
      return {
        keys: keys.map(show),
        nextPageToken: last === undefined ? "" : createPageToken(list, [String(last.position)]),
      };
    },
    updateKey: async (request, context) => showChanged(await updateKey(parts, request, toActing(context))),
    async rotateKey(request, context) {
      const rotated = await rotateKey(parts, request, toActing(context));
      return { ...showChanged(rotated), secret: rotated.secret ?? "" };
    },
    disableKey: async (request, context) => showChanged(await disableKey(parts, request, toActing(context))),
    enableKey: async (request, context) => showChanged(await enableKey(parts, request, toActing(context))),
    revokeKey: async (request, context) => showChanged(await revokeKey(parts, request, toActing(context))),
  };
}

function toState(state: KeyState): KeyFilter["state"] {
  switch (state) {
    case KeyState.ACTIVE:
      return "active";
    case KeyState.DISABLED:
      return "disabled";
    case KeyState.EXPIRED:
      return "expired";
    case KeyState.REVOKED:
      return "revoked";
    case KeyState.UNSPECIFIED:
      return undefined;
  }
}

function toKey(stored: StoredKey, nowMs: number): Key {
  const grant = decodeGrant(stored.grant);
  const { keyId, organisation, team, app, environment, models, requestsPerMinute, labels, regions } = grant;
  const { expiresAt, revokedAt, disabledAt, tools, strictAfter } = grant;
  const oldSecretExpiresAtMs = findOldSecretExpiry(grant, nowMs);
  return create(KeySchema, {
    keyId,
    displayName: stored.displayName,
    organisation,
    team,
    app,
    environment,
    models,
    requestsPerMinute,
    labels,
    regions,
    createdAt: timestampFromDate(stored.createdAt),
    ...(expiresAt && { expiresAt }),
    ...(revokedAt && { revokedAt }),
    ...(disabledAt && { disabledAt }),
    ...(tools && { tools }),
    ...(strictAfter && { strictAfter }),
    ...(stored.rotatedAt && { rotatedAt: timestampFromDate(stored.rotatedAt) }),
    ...(oldSecretExpiresAtMs !== undefined && { oldSecretExpiresAt: timestampFromMs(oldSecretExpiresAtMs) }),
    etag: createEtag(stored.grant, stored.displayName),
    state: findState(grant, nowMs),
  });
}

function findState({ revokedAt, expiresAt, disabledAt }: KeyGrant, nowMs: number): KeyState {
  if (revokedAt !== undefined) return KeyState.REVOKED;
  if (expiresAt !== undefined && timestampMs(expiresAt) <= nowMs) return KeyState.EXPIRED;
  return disabledAt === undefined ? KeyState.ACTIVE : KeyState.DISABLED;
}
