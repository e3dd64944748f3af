import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AuditService,
  type CheckpointSchema,
  type LoggedRecord,
  LoggedRecordSchema,
} from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { type Access, getAccess } from "../shared/authority/access.ts";
import type { Pool } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createPageToken, readPageSize, readPageToken, readPlaceNumber } from "../shared/page.ts";
import { assembleProof, type ProofPlan, planConsistency, planInclusion } from "./merkle/proof.ts";
import { isConsistent, isIncluded } from "./merkle/verify.ts";
import { findCheckpoint, findLatestCheckpoint, listCheckpoints, type StoredCheckpoint } from "./store/checkpoints.ts";
import { getLogState } from "./store/log-state.ts";
import { findRecord, listRecords, type StoredRecord } from "./store/records.ts";
import { readSubtrees } from "./store/subtrees.ts";

/** Most bytes of records on a page: with its envelope it stays below the 4 MiB that gRPC clients take by default. */
const PAGE_BYTES = 2 * 2 ** 20;
/** When a record without a checkpoint is worth asking for again. */
const RETRY_MS = 1_000;

/** Serves weir.audit.v1.AuditService from the database; any instance may answer. */
export function createAuditService(pool: Pool): ServiceImpl<typeof AuditService> {
  return {
    async listRecords({ organisation, firstIndex, endIndex, pageSize, pageToken }) {
      const list = ["records", organisation, String(firstIndex), String(endIndex)];
      const sequenced = (await getLogState(pool)).sequenced;
      const wanted = endIndex === 0n || endIndex > sequenced ? sequenced : endIndex;
      const { next, end } = readPlace(list, pageToken) ?? { next: firstIndex, end: wanted };
      const limit = readPageSize(pageSize, { default: 100, max: 500 });
      const range = { organisation, first: next, end, limit, limitBytes: PAGE_BYTES };
      const page = await listRecords(pool, range);
      const last = page.at(-1);
      // A short page may have been cut by its bytes, so only an empty one, or the end itself, is the end.
      const more = last !== undefined && last.index + 1n < end;
      return {
        records: page.map(toLoggedRecord),
        nextPageToken: more ? createPageToken(list, [String(end), String(last.index + 1n)]) : "",
      };
    },

    async getRecord({ recordId }, context) {
      return { record: toLoggedRecord(await getRecord(pool, recordId, getAccess(context))) };
    },

    async getInclusionProof({ recordId, treeSize }, context) {
      const record = await getRecord(pool, recordId, getAccess(context));
      const checkpoint = await findCheckpointOf(pool, treeSize);
      if (!checkpoint || record.index >= checkpoint.size) throw notCovered(record, checkpoint, treeSize);
      const { size, root } = checkpoint;
      const hashes = await prove(pool, planInclusion(record.index, size));
      const { index, leafHash } = record;
      if (!isIncluded({ leafHash, index, size, root, proof: hashes })) throw damaged(`record ${index}`, size);
      return { record: toLoggedRecord(record), checkpoint: toCheckpoint(checkpoint), hashes };
    },

    async getConsistencyProof({ firstSize, secondSize }) {
      const first = await getCheckpoint(pool, firstSize);
      const second = await getCheckpoint(pool, secondSize);
      if (first.size > second.size) {
        throw new WeirError("ARGUMENT_INVALID", `Cannot prove consistency: ${first.size} is more than ${second.size}`, {
          violations: [{ field: "first_size", description: "must not be more than second_size" }],
        });
      }
      const proof = await prove(pool, planConsistency(first.size, second.size));
      const claim = { first: first.size, firstRoot: first.root, second: second.size, secondRoot: second.root, proof };
      if (!isConsistent(claim)) throw damaged(`the checkpoint of ${first.size}`, second.size);
      return { first: toCheckpoint(first), second: toCheckpoint(second), hashes: proof };
    },

    async getCheckpoint({ treeSize }) {
      return { checkpoint: toCheckpoint(await getCheckpoint(pool, treeSize)) };
    },

    async listCheckpoints({ afterSize, pageSize, pageToken }) {
      const list = ["checkpoints", String(afterSize)];
      const latest = (await findLatestCheckpoint(pool))?.size ?? 0n;
      const { next, end } = readPlace(list, pageToken) ?? { next: afterSize, end: latest };
      const page = await listCheckpoints(pool, next, readPageSize(pageSize, { default: 100, max: 1_000 }));
      const shown = page.filter(({ size }) => size <= end);
      const last = shown.at(-1);
      const more = last !== undefined && last.size < end;
      return {
        checkpoints: shown.map(toCheckpoint),
        nextPageToken: more ? createPageToken(list, [String(end), String(last.size)]) : "",
      };
    },
  };
}

/** Finds a record that the operator may read. Any other one is answered as one that is not there: who may not read it learns no more. */
async function getRecord(pool: Pool, recordId: string, access: Access): Promise<StoredRecord> {
  const record = await findRecord(pool, recordId);
  if (record !== undefined && record.recordId !== recordId.toLowerCase()) throw displaced(record, recordId);
  if (record !== undefined && access.allows({ organisation: record.organisation })) return record;
  throw new WeirError("NOT_FOUND", `Cannot find record: the log has none with the id "${recordId}"`, {
    facts: { record_id: recordId },
  });
}

/** The checkpoint of a size, or the latest for 0; undefined when there is none. */
async function findCheckpointOf(pool: Pool, size: bigint): Promise<StoredCheckpoint | undefined> {
  return size === 0n ? await findLatestCheckpoint(pool) : await findCheckpoint(pool, size);
}

async function getCheckpoint(pool: Pool, size: bigint): Promise<StoredCheckpoint> {
  const checkpoint = await findCheckpointOf(pool, size);
  if (checkpoint) return checkpoint;
  const state = size === 0n ? "nothing was signed yet" : `none was signed at the size ${size}`;
  throw new WeirError("NOT_FOUND", `Cannot find checkpoint: ${state}`, { facts: { tree_size: String(size) } });
}

async function prove(pool: Pool, plan: ProofPlan): Promise<Uint8Array[]> {
  return assembleProof(plan, await readSubtrees(pool, plan.flat()));
}

function notCovered(record: StoredRecord, checkpoint: StoredCheckpoint | undefined, treeSize: bigint): WeirError {
  const facts = { index: String(record.index), tree_size: String(checkpoint?.size ?? 0n) };
  if (treeSize === 0n) {
    return new WeirError("UNAVAILABLE", `Cannot prove record ${record.index}: no checkpoint covers it yet`, {
      facts,
      retryAfterMs: RETRY_MS,
    });
  }
  if (!checkpoint) return new WeirError("NOT_FOUND", `Cannot prove record: no checkpoint of ${treeSize}`, { facts });
  return new WeirError("ARGUMENT_INVALID", `Cannot prove record ${record.index}: it is behind ${treeSize} records`, {
    facts,
    violations: [{ field: "tree_size", description: `must be more than ${record.index}` }],
  });
}

/** The place of this id holds another record: somebody changed the database. A true proof of the wrong record would be the worst answer. */
function displaced({ index }: StoredRecord, recordId: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot find record "${recordId}": another one stands in its place ${index}`);
}

/** The stored tree does not lead to the signed root: somebody changed the database. Never hand out a proof that proves nothing. */
function damaged(what: string, size: bigint): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot prove ${what}: the stored tree differs from the checkpoint of ${size}`);
}

/** Where a page begins, and where the list ends: fixed by the first page, so that a list of a growing log ends. */
function readPlace(list: readonly unknown[], token: string): { next: bigint; end: bigint } | undefined {
  const place = readPageToken(list, token, 2);
  return place && { end: readPlaceNumber(place[0]), next: readPlaceNumber(place[1]) };
}

function toLoggedRecord(stored: StoredRecord): LoggedRecord {
  const { index, recordId, organisation, record, leafHash, sequencedAt } = stored;
  return create(LoggedRecordSchema, {
    index,
    recordId,
    organisation,
    record,
    leafHash,
    sequencedAt: timestampFromDate(sequencedAt),
  });
}

function toCheckpoint({ size, root, note, signedAt }: StoredCheckpoint): MessageInitShape<typeof CheckpointSchema> {
  return { note, treeSize: size, rootHash: root, signedAt: timestampFromDate(signedAt) };
}
