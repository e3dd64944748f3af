import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Key, KeySchema, type KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { createPageToken, readNumberToken, readPageSize } from "../shared/page.ts";
import { makeKey, revokeKey } from "./change-key.ts";
import { createEtag, decodeGrant } from "./keys/grant.ts";
import type { ChangeParts } from "./publish.ts";
import { listKeys, type StoredKey } from "./store/virtual-keys.ts";

const PAGE = { default: 50, max: 200 };

/** Serves weir.policy.v1.KeyService. A secret leaves through `createKey` only, and only once. */
export function createKeyService(parts: ChangeParts): Partial<ServiceImpl<typeof KeyService>> {
  return {
    async createKey(request, { signal }) {
      const { key, secret } = await makeKey(parts, request, signal);
      return { key: toKey(key), secret: secret ?? "" };
    },
    async listKeys({ organisation, pageSize, pageToken }) {
      const limit = readPageSize(pageSize, PAGE);
      const list = ["keys", organisation];
      const before = readNumberToken(list, pageToken);
      // One more than the page has, to know whether there is another.
      const found = await listKeys(parts.pool, organisation, { before, limit: limit + 1 });
      const keys = found.slice(0, limit);
      const last = found.length > limit ? keys.at(-1) : undefined;
      return {
        keys: keys.map(toKey),
        nextPageToken: last === undefined ? "" : createPageToken(list, [String(last.position)]),
      };
    },
    async revokeKey({ requestId, organisation, keyId, etag, comment }, { signal }) {
      const { key, keyrings } = await revokeKey(parts, { requestId, organisation, keyId, etag, comment }, signal);
      return { key: toKey(key), keyrings: [...keyrings] };
    },
  };
}

function toKey(stored: StoredKey): Key {
  const grant = decodeGrant(stored.grant);
  const { keyId, organisation, team, app, environment, models, requestsPerMinute, expiresAt, revokedAt } = grant;
  return create(KeySchema, {
    keyId,
    displayName: stored.displayName,
    organisation,
    team,
    app,
    environment,
    models,
    requestsPerMinute,
    createdAt: timestampFromDate(stored.createdAt),
    ...(expiresAt && { expiresAt }),
    ...(revokedAt && { revokedAt }),
    etag: createEtag(stored.grant),
  });
}
