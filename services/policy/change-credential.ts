/** The life of a credential: set → sealed in its regions' sets → set again, or deleted. Nothing here can open one. */
import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { CredentialChange } from "../../gen/weir/audit/v1/record_pb.ts";
import {
  type DeleteCredentialRequest,
  DeleteCredentialRequestSchema,
  SealedCredentialSchema,
  type SetCredentialRequest,
  SetCredentialRequestSchema,
} from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { type FieldViolation, WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import type { Acting } from "./acting.ts";
import { createRecordFact } from "./distribution/facts.ts";
import { type MintedCredentialSet, mintCredentialSet, nextSetVersion } from "./distribution/mint-credentials.ts";
import { afterCommit, type ChangeParts } from "./publish.ts";
import { change } from "./store/change.ts";
import {
  deleteEnvelopes,
  findCredential,
  findCredentialChange,
  insertCredentialChange,
  type StoredCredential,
  type StoredEnvelope,
  storeEnvelopes,
} from "./store/credentials.ts";
import { findPolicy } from "./store/policy-versions.ts";

/**
 * Stores the next version of a credential for the regions that it was sealed for. Throws ARGUMENT_INVALID when the envelopes do not belong
 * together, VERSION_CONFLICT when they were sealed as another version than the next one, ALREADY_EXISTS when the request id made another
 * change.
 */
export async function setCredential(
  parts: ChangeParts,
  request: SetCredentialRequest,
  acting: Acting,
): Promise<StoredCredential> {
  checkEnvelopes(request);
  const { organisation, name, sealed } = request;
  return await makeChange(parts, SetCredentialRequestSchema, request, acting, async (client, before, at) => {
    await checkOrganisation(client, organisation);
    const version = (before?.version ?? 0n) + 1n;
    if (sealed.some((envelope) => envelope.version !== version)) throw conflict("set", name, before?.version ?? 0n);
    const envelopes: StoredEnvelope[] = [];
    for (const envelope of sealed) {
      const { region } = envelope;
      const setVersion = await nextSetVersion(client, region);
      const bytes = toBinary(SealedCredentialSchema, envelope);
      envelopes.push({ organisation, name, region, version, sealed: bytes, setVersion, setAt: at });
    }
    await storeEnvelopes(client, { organisation, name, version }, envelopes);
    return { change: CredentialChange.SET, version, regions: sealed.map(({ region }) => region) };
  });
}

/**
 * Takes a credential away from the regions that are named, or from all. One that is not there in any of them is left as it is. Throws
 * NOT_FOUND when there never was one of that name, VERSION_CONFLICT when its latest version is another than was expected.
 */
export async function deleteCredential(
  parts: ChangeParts,
  request: DeleteCredentialRequest,
  acting: Acting,
): Promise<StoredCredential> {
  const { organisation, name, expectedVersion } = request;
  return await makeChange(parts, DeleteCredentialRequestSchema, request, acting, async (client, before) => {
    if (before === undefined) {
      throw new WeirError("NOT_FOUND", `Cannot delete credential: organisation "${organisation}" has no "${name}"`, {
        facts: { organisation, name },
      });
    }
    const { version, envelopes } = before;
    if (expectedVersion !== 0n && expectedVersion !== version) throw conflict("delete", name, version);
    const regions = envelopes
      .map(({ region }) => region)
      .filter((region) => request.regions.length === 0 || request.regions.includes(region));
    await deleteEnvelopes(client, { organisation, name }, regions);
    return { change: CredentialChange.DELETED, version, regions };
  });
}

interface Done {
  readonly change: CredentialChange;
  readonly version: bigint;
  /** Whose set is to be made anew. */
  readonly regions: readonly string[];
}

type AnyRequest = Pick<SetCredentialRequest, "requestId" | "organisation" | "name" | "comment">;

async function makeChange<Desc extends DescMessage>(
  parts: ChangeParts,
  schema: Desc,
  request: MessageShape<Desc> & AnyRequest,
  { access, signal }: Acting,
  act: (client: PoolClient, before: StoredCredential | undefined, at: Date) => Promise<Done>,
): Promise<StoredCredential> {
  const { requestId, organisation, name } = request;
  const requestDigest = createHash("sha256").update(schema.typeName).update(toBinary(schema, request)).digest();
  const credential = await change(
    parts.pool,
    async (client) => {
      const before = await findCredential(client, organisation, name);
      const repeated = await findCredentialChange(client, requestId, access.actor);
      if (repeated !== undefined) return checkRepeat(repeated, requestDigest, requestId, before);
      const at = new Date(parts.clock.nowMs());
      const done = await act(client, before, at);
      const sets: MintedCredentialSet[] = [];
      for (const region of done.regions) {
        sets.push(await mintCredentialSet(client, region, { signer: parts.signer, at }));
      }
      const after = (await findCredential(client, organisation, name)) as StoredCredential;
      await insertCredentialChange(client, {
        requestId,
        requestedBy: access.actor,
        requestDigest,
        organisation,
        name,
        changedAt: at,
      });
      if (sets.length > 0) await record(client, parts, { actor: access.actor, request, at, done, sets, before, after });
      return after;
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return credential;
}

async function record(
  client: PoolClient,
  { clock }: ChangeParts,
  {
    actor,
    request,
    at,
    done,
    sets,
    before,
    after,
  }: {
    readonly actor: string;
    readonly request: AnyRequest;
    readonly at: Date;
    readonly done: Done;
    readonly sets: readonly MintedCredentialSet[];
    readonly before: StoredCredential | undefined;
    readonly after: StoredCredential;
  },
): Promise<void> {
  const { requestId, organisation, name, comment } = request;
  const regions = sets.map(({ region, version, digest }) => ({
    region,
    beforeDigest: digestOf(before, region),
    afterDigest: digestOf(after, region),
    setVersion: version,
    setDigest: digest,
  }));
  const fact = createRecordFact({
    recordId: createEventId(clock.nowMs()),
    at,
    organisation,
    act: {
      case: "credentialChange",
      value: { actor, requestId, name, change: done.change, version: done.version, regions, comment },
    },
  });
  await appendToOutbox(client, fact);
}

function digestOf(credential: StoredCredential | undefined, region: string): Uint8Array {
  const envelope = credential?.envelopes.find((one) => one.region === region);
  return envelope === undefined ? new Uint8Array() : createHash("sha256").update(envelope.sealed).digest();
}

function checkEnvelopes({ organisation, name, sealed }: SetCredentialRequest): void {
  const violations: FieldViolation[] = [];
  const seen = new Set<string>();
  sealed.forEach((envelope, index) => {
    const report = (field: string, description: string) =>
      void violations.push({ field: `sealed[${index}].${field}`, description });
    if (envelope.organisation !== organisation) report("organisation", "must be that of the request");
    if (envelope.name !== name) report("name", "must be that of the request");
    if (envelope.version !== sealed[0]?.version) report("version", "must be the same in all envelopes");
    if (seen.has(envelope.region)) report("region", `"${envelope.region}" stands there twice`);
    seen.add(envelope.region);
  });
  if (violations.length === 0) return;
  const list = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  throw new WeirError("ARGUMENT_INVALID", `Cannot set credential: ${list}`, { violations });
}

async function checkOrganisation(client: PoolClient, organisation: string): Promise<void> {
  const policy = await findPolicy(client, 0n);
  if (policy === undefined || policy.organisation === organisation) return;
  const description = "must be the organisation that operates the mesh";
  throw new WeirError("ARGUMENT_INVALID", `Cannot set credential: organisation ${description}`, {
    violations: [{ field: "organisation", description }],
  });
}

function checkRepeat(
  repeated: { readonly requestDigest: Uint8Array },
  digest: Uint8Array,
  requestId: string,
  current: StoredCredential | undefined,
): StoredCredential {
  if (current !== undefined && Buffer.compare(repeated.requestDigest, digest) === 0) return current;
  // Not which one: it may be one of another organisation, made when ids were not yet each operator's own.
  throw new WeirError("ALREADY_EXISTS", `Cannot change credential: request id "${requestId}" made another change`, {
    facts: { request_id: requestId },
  });
}

function conflict(act: string, name: string, latest: bigint): WeirError {
  return new WeirError("VERSION_CONFLICT", `Cannot ${act} credential "${name}": its latest version is ${latest}`, {
    facts: { name, latest_version: String(latest) },
  });
}
