/** How keys begin: checked against the policy, made, honoured by the next keyring in every region. */
import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import { type CreateKeyRequest, CreateKeyRequestSchema } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { type FieldViolation, WeirError } from "../shared/errors/weir-error.ts";
import { createKey } from "../shared/key/key.ts";
import { mapInSteps, runInSlices } from "../shared/snapshot/slices.ts";
import type { Acting } from "./acting.ts";
import { createKeyRecord } from "./distribution/key-record.ts";
import { mintKeyring } from "./distribution/mint-keyring.ts";
import { findSettingViolations, findTenantViolations } from "./keys/check-key.ts";
import { createGrant } from "./keys/edit-grant.ts";
import { encodeGrant } from "./keys/grant.ts";
import { indexGrant } from "./keys/index-grant.ts";
import { afterCommit, type ChangeParts } from "./publish.ts";
import { change } from "./store/change.ts";
import { listRegions } from "./store/snapshots.ts";
import { findKeysByRequests, insertKeys, type StoredKey } from "./store/virtual-keys.ts";

/** A key that was made. */
export interface MadeKey {
  readonly key: StoredKey;
  /** The whole key, once and never again; absent when the request was a repeat. */
  readonly secret: string | undefined;
}

/**
 * Makes keys of one organisation, all or none, with one keyring. Throws ARGUMENT_INVALID with every field that does not fit the
 * published policy, PERMISSION_DENIED for an environment that the operator has no say over, ALREADY_EXISTS when a request id made another key. `fieldOf` names the request of an index in violations.
 */
export async function makeKeys(
  parts: ChangeParts,
  requests: readonly CreateKeyRequest[],
  fieldOf: (index: number) => string,
  { access, signal }: Acting,
): Promise<MadeKey[]> {
  // A thousand of them are a turn's work several times over, here and below.
  const asked = await runInSlices(
    mapInSteps(requests, (request) => ({
      request,
      id: request.requestId.toLowerCase(),
      digest: digestRequest(request),
    })),
  );
  for (const { organisation, environment } of requests) access.require({ organisation, environment });
  checkBatch(requests, fieldOf);
  const made = await change(
    parts.pool,
    async (client) => {
      const requestIds = asked.map(({ id }) => id);
      const repeated = await findKeysByRequests(client, requestIds, access.actor);
      for (const { request, id, digest } of asked) checkRepeat(repeated.get(id), digest, request);
      const fresh = asked.filter(({ id }) => !repeated.has(id));
      const secrets =
        fresh.length === 0 ? NONE : await storeKeys(client, parts, { actor: access.actor, asked: fresh, fieldOf });
      const stored = fresh.length === 0 ? repeated : await findKeysByRequests(client, requestIds, access.actor);
      return requestIds.map((id) => ({ key: stored.get(id) as StoredKey, secret: secrets.get(id) }));
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return made;
}

interface AskedKey {
  readonly request: CreateKeyRequest;
  /** Of the request, as the database writes it. */
  readonly id: string;
  readonly digest: Uint8Array;
}

interface AskedKeys {
  readonly actor: string;
  readonly asked: readonly AskedKey[];
  readonly fieldOf: (index: number) => string;
}

const NONE: ReadonlyMap<string, string> = new Map();

/** Returns the secret of each key by its request's id. */
async function storeKeys(
  client: PoolClient,
  { signer, clock, catalogue, current }: ChangeParts,
  { actor, asked, fieldOf }: AskedKeys,
): Promise<ReadonlyMap<string, string>> {
  const at = new Date(clock.nowMs());
  await current.check(client, "create key", async (policy) => {
    const violations = await runInSlices(
      mapInSteps(asked, ({ request }, index) =>
        [...findTenantViolations(policy, request), ...findSettingViolations(policy, request, at.getTime())].map(
          ({ field, description }): FieldViolation => ({ field: `${fieldOf(index)}${field}`, description }),
        ),
      ),
    );
    return violations.flat();
  });
  const keys = await runInSlices(
    mapInSteps(asked, ({ request, id, digest }) => {
      const { keyId, text, sha256 } = createKey(request.environment);
      const grant = createGrant({ keyId, sha256 }, request, request);
      return { request, id, digest, keyId, text, grant, bytes: encodeGrant(grant) };
    }),
  );
  const regions = (await listRegions(client)).map(({ region }) => region);
  const changes = keys.map(({ keyId, bytes }) => ({ id: keyId, grant: bytes }));
  const minted = await mintKeyring(client, { known: catalogue.keyring, changes, regions, signer, at });
  await insertKeys(
    client,
    keys.map(({ request: { organisation, displayName, requestId }, digest, grant }) => ({
      ...indexGrant(grant),
      organisation,
      displayName,
      requestId,
      requestedBy: actor,
      requestDigest: digest,
      createdAt: at,
    })),
  );
  const records = await runInSlices(
    mapInSteps(keys, ({ request: { organisation, requestId }, keyId, bytes }) =>
      createKeyRecord(
        {
          change: KeyChange.CREATED,
          actor,
          requestId,
          organisation,
          keyId,
          tenant: "",
          comment: "",
          before: undefined,
          after: bytes,
        },
        minted,
        regions,
        at,
      ),
    ),
  );
  await appendToOutbox(client, ...records);
  return new Map(keys.map(({ id, text }) => [id, text]));
}

// Labels are a map: the same ones may come in another order when a request is repeated.
function digestRequest(request: CreateKeyRequest): Uint8Array {
  const labels = Object.fromEntries(Object.entries(request.labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash("sha256")
    .update(toBinary(CreateKeyRequestSchema, { ...request, labels }))
    .digest();
}

function checkBatch(requests: readonly CreateKeyRequest[], fieldOf: (index: number) => string): void {
  const [first] = requests;
  const seen = new Set<string>();
  const violations: FieldViolation[] = [];
  requests.forEach(({ requestId, organisation }, index) => {
    const id = requestId.toLowerCase();
    if (seen.has(id)) violations.push({ field: `${fieldOf(index)}request_id`, description: "is there twice" });
    seen.add(id);
    if (organisation !== first?.organisation) {
      violations.push({
        field: `${fieldOf(index)}organisation`,
        description: `must be "${first?.organisation}", as in the first`,
      });
    }
  });
  if (violations.length === 0) return;
  throw new WeirError("ARGUMENT_INVALID", "Cannot create keys: requests do not fit together", {
    violations,
  });
}

function checkRepeat(repeated: StoredKey | undefined, digest: Uint8Array, { requestId }: CreateKeyRequest): void {
  if (repeated === undefined || Buffer.compare(repeated.requestDigest, digest) === 0) return;
  // Not which key: it may be one of another organisation, made when ids were not yet each operator's own.
  throw new WeirError("ALREADY_EXISTS", `Cannot create key: request id "${requestId}" made another key`, {
    facts: { request_id: requestId },
  });
}
