/**
 * The life of a policy, from top to bottom: check → compile, one snapshot a region → store, begin its release and announce, in one
 * transaction → distribute. How the release goes on is in `release.ts`; what routers do with it is in services/shared/snapshot.
 */
import { createHash, randomUUID } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Finding, type Policy, PolicySchema, Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { Pool, PoolClient } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { VIOLATIONS_CHARACTERS, VIOLATIONS_LIMIT } from "../shared/errors/wire.ts";
import { createEventId } from "../shared/ids.ts";
import type { NoteSigner } from "../shared/note/note.ts";
import type { CompileOptions } from "./compilation/compile.ts";
import { hasError } from "./compilation/finding.ts";
import type { CurrentPolicy } from "./current-policy.ts";
import { beginRelease } from "./distribution/begin-release.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { createPublishedFact, createRecordFact } from "./distribution/facts.ts";
import { renewCredentialSets } from "./distribution/mint-credentials.ts";
import { extendKeyring } from "./distribution/mint-keyring.ts";
import { signHead } from "./keys/sign-head.ts";
import type { PolicyWorker } from "./offloading/policy-worker.ts";
import { change } from "./store/change.ts";
import {
  findPolicy,
  findVersionByRequest,
  insertVersion,
  type StoredPolicy,
  type StoredVersion,
} from "./store/policy-versions.ts";
import { insertSnapshot, listRegions } from "./store/snapshots.ts";

/** What changes of policy and keys are made with. */
export interface ChangeParts {
  readonly pool: Pool;
  readonly signer: NoteSigner;
  readonly clock: Clock;
  readonly catalogue: Catalogue;
  readonly current: CurrentPolicy;
  /** Checks, compiles and compares policies. */
  readonly worker: PolicyWorker;
  /** Wakes the relays of the outbox; called after a commit. */
  readonly announce: () => void;
}

/** What a publisher wants. */
export interface PublishRequest {
  /** Who wants it, for the record: "issuer#subject". */
  readonly actor: string;
  /** UUID. A repeat by the same actor gets the version that the first call made. */
  readonly requestId: string;
  readonly policy: Policy;
  /** Latest version that the publisher has seen; 0 checks nothing. */
  readonly expectedVersion: bigint;
  readonly comment: string;
  /** Gives it to all routers at once, whatever the policy says of waves. Default false. */
  readonly allAtOnce?: boolean;
}

/** What came of it. */
export interface Published {
  readonly version: StoredVersion;
  /** Warnings. */
  readonly findings: readonly Finding[];
}

/**
 * Makes a policy the next version. Throws POLICY_REFUSED with every finding when it has an error, VERSION_CONFLICT when another
 * version came between, ALREADY_EXISTS when the request id made another policy.
 */
export async function publishPolicy(
  parts: ChangeParts,
  request: PublishRequest,
  signal?: AbortSignal,
): Promise<Published> {
  const content = toBinary(PolicySchema, request.policy);
  const findings = await parts.worker.check(content, signal);
  if (hasError(findings)) throw refusePolicy("publish policy", findings);
  const version = await makeVersion(parts, { ...request, content, contentOf: 0n }, signal);
  return { version, findings };
}

/**
 * Makes a new version with the content of an old one, which is checked again: rules may have become stricter since. The keyring is
 * not touched. Throws NOT_FOUND for a version that is not there, else as publishPolicy does.
 */
export async function rollBackPolicy(
  parts: ChangeParts,
  request: Omit<PublishRequest, "policy"> & { readonly version: bigint },
  signal?: AbortSignal,
): Promise<StoredVersion> {
  const old = await findPolicy(parts.pool, request.version);
  if (old === undefined) {
    throw new WeirError("NOT_FOUND", `Cannot roll back: there is no version ${request.version}`, {
      facts: { version: String(request.version) },
    });
  }
  const policy = fromBinary(PolicySchema, old.content);
  const findings = await parts.worker.check(old.content, signal);
  if (hasError(findings)) throw refusePolicy("roll back", findings);
  return await makeVersion(parts, { ...request, policy, content: old.content, contentOf: old.version }, signal);
}

/**
 * Brings an old content back as the next version, for all routers at once. Call it inside a change. It is not checked again: it is what
 * ran before, and must come back whatever today's rules say. Returns the new version.
 */
export async function restoreVersion(
  client: PoolClient,
  parts: ChangeParts,
  old: StoredPolicy,
  { actor, comment }: { readonly actor: string; readonly comment: string },
): Promise<bigint> {
  const policy = fromBinary(PolicySchema, old.content);
  const { content, digest, version: contentOf } = old;
  const request = { requestId: randomUUID(), policy, expectedVersion: 0n, comment, content, contentOf, actor };
  const before = await findPolicy(client, 0n);
  return (await store(client, parts, { ...request, allAtOnce: true }, { digest, before })).version;
}

interface NewContent extends PublishRequest {
  readonly content: Uint8Array;
  readonly contentOf: bigint;
}

async function makeVersion(parts: ChangeParts, request: NewContent, signal?: AbortSignal): Promise<StoredVersion> {
  const digest = sha256(request.content);
  const version = await change(
    parts.pool,
    async (client) => {
      const repeated = await findVersionByRequest(client, request.requestId, request.actor);
      if (repeated !== undefined) return checkRepeat(repeated, digest, request);
      const before = await findPolicy(client, 0n);
      checkExpected(request.expectedVersion, before?.version ?? 0n);
      return await store(client, parts, request, { digest, before, ...(signal && { signal }) });
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return version;
}

async function store(
  client: PoolClient,
  parts: ChangeParts,
  request: NewContent,
  { digest, before, signal }: { digest: Uint8Array; before: StoredVersion | undefined; signal?: AbortSignal },
): Promise<StoredVersion> {
  const { signer, clock, catalogue } = parts;
  const { actor, policy, contentOf, comment, requestId, content, allAtOnce } = request;
  const publishedAt = new Date(clock.nowMs());
  const version = (before?.version ?? 0n) + 1n;
  const { organisation } = policy;
  const stored = { version, organisation, digest, contentOf, comment, publishedAt, publishedBy: actor };
  await insertVersion(client, { ...stored, content, requestId });

  const compiled = await parts.worker.compile(content, await listSnapshots(client, policy, version), signal);
  for (const snapshot of compiled) {
    const head = signHead({ kind: "snapshot", issuedAt: publishedAt, ...snapshot }, signer);
    await insertSnapshot(client, { ...snapshot, policyVersion: version, head });
  }
  const regions = compiled.map(({ region }) => region);
  await extendKeyring(client, { known: catalogue.keyring, regions, signer, at: publishedAt });
  await renewCredentialSets(client, { signer, at: publishedAt });

  const snapshots = compiled.map(({ region, version: of, digest: sum }) => ({ region, version: of, digest: sum }));
  const eventId = createEventId(clock.nowMs());
  await appendToOutbox(
    client,
    createPublishedFact({
      eventId,
      organisation,
      policyVersion: version,
      contentOf,
      snapshots,
      publishedAt: timestampFromDate(publishedAt),
    }),
  );
  const beforeDigest = before?.digest ?? new Uint8Array();
  await appendToOutbox(
    client,
    createRecordFact({
      recordId: createEventId(clock.nowMs()),
      at: publishedAt,
      organisation,
      act: {
        case: "policyChange",
        value: { actor, requestId, version, beforeDigest, afterDigest: digest, contentOf, comment, snapshots },
      },
    }),
  );
  await beginRelease(client, parts, { version, policy, contentOf, requestId, actor, ...(allAtOnce && { allAtOnce }) });
  return {
    ...stored,
    snapshots: compiled.map((snapshot) => ({ ...snapshot, sizeBytes: BigInt(snapshot.content.length) })),
  };
}

// A region that left the policy gets a snapshot too, one without models: its routers would else run the old one for ever.
async function listSnapshots(client: PoolClient, policy: Policy, policyVersion: bigint): Promise<CompileOptions[]> {
  const versions = new Map((await listRegions(client)).map(({ region, snapshotVersion }) => [region, snapshotVersion]));
  for (const { id } of policy.regions) if (!versions.has(id)) versions.set(id, 0n);
  return [...versions.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([region, latest]) => ({ region, version: latest + 1n, policyVersion }));
}

/** What follows every commit: the relays wake, and this instance hands out what it has just stored. */
export async function afterCommit({ announce, catalogue }: ChangeParts): Promise<void> {
  announce();
  // If this fails, the listener reads again as soon as the database answers: it is committed.
  await catalogue.refreshIfReachable();
}

function checkRepeat(repeated: StoredVersion, digest: Uint8Array, { contentOf, requestId }: NewContent): StoredVersion {
  if (Buffer.compare(repeated.digest, digest) === 0 && repeated.contentOf === contentOf) return repeated;
  throw new WeirError(
    "ALREADY_EXISTS",
    `Cannot publish policy: request id "${requestId}" made version ${repeated.version}`,
    {
      facts: { request_id: requestId, version: String(repeated.version) },
    },
  );
}

function checkExpected(expected: bigint, latest: bigint): void {
  if (expected === 0n || expected === latest) return;
  throw new WeirError("VERSION_CONFLICT", `Cannot publish policy: the latest version is ${latest}, not ${expected}`, {
    facts: { latest_version: String(latest), expected_version: String(expected) },
  });
}

/** The refusal of a policy with errors, which names as many as an error takes; CheckPolicy lists the others. `act` is what can't be done, such as "publish policy". */
export function refusePolicy(act: string, findings: readonly Finding[]): WeirError {
  const errors = findings.filter(({ severity }) => severity === Severity.ERROR);
  const violations: { field: string; description: string }[] = [];
  let characters = 0;
  for (const { field, rule, message } of errors) {
    const description = `${rule}: ${message}`;
    characters += field.length + description.length;
    if (violations.length === VIOLATIONS_LIMIT || characters > VIOLATIONS_CHARACTERS) break;
    violations.push({ field, description });
  }
  const rest = errors.length - violations.length;
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  const more = rest === 0 ? "" : `; the first ${violations.length} are listed, CheckPolicy lists all`;
  return new WeirError("POLICY_REFUSED", `Cannot ${act}: it has ${count}${more}`, {
    violations,
    facts: { errors: String(errors.length) },
  });
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
