import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  AuditService,
  type Checkpoint,
  type GetInclusionProofResponse,
  type LoggedRecord,
} from "../gen/weir/audit/v1/audit_service_pb.ts";
import { type Record as AuditRecord, RecordSchema } from "../gen/weir/audit/v1/record_pb.ts";
import { writeExport } from "../services/audit/verification/write-export.ts";
import { writeProof } from "../services/audit/verification/write-proof.ts";
import { parseTrust } from "../services/shared/note/note.ts";
import type { Endpoint } from "./addresses.ts";
import { CALL_OPTIONS, withClient } from "./control-plane.ts";

/** Records and checkpoints asked for at a time. */
const PAGE_SIZE = 500;

/** Calls the audit service of a region, or of "control". Throws when the mesh has none of that name. */
export function withAuditLog<Result>(
  addresses: Readonly<Record<string, Endpoint>>,
  region: string,
  use: (client: Client<typeof AuditService>) => Promise<Result>,
): Promise<Result> {
  const address = addresses[region];
  if (address === undefined) {
    throw new Error(`Cannot find audit: there is no region "${region}", only ${Object.keys(addresses).join(", ")}`);
  }
  return withClient(address, AuditService, use);
}

/** Reads records from an index on, page by page, up to an index that is not read. */
export async function* readRecords(
  client: Client<typeof AuditService>,
  range: { readonly first?: bigint; readonly end?: bigint; readonly organisation?: string } = {},
): AsyncGenerator<LoggedRecord> {
  let pageToken = "";
  do {
    const page = await client.listRecords(
      {
        organisation: range.organisation ?? "",
        firstIndex: range.first ?? 0n,
        endIndex: range.end ?? 0n,
        pageSize: PAGE_SIZE,
        pageToken,
      },
      CALL_OPTIONS,
    );
    yield* page.records;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Decodes what a record says. */
export function decodeRecord(logged: LoggedRecord): AuditRecord {
  return fromBinary(RecordSchema, logged.record);
}

/**
 * Writes a whole log up to its latest checkpoint into a folder, for `weir audit verify`. Returns how many records that are. What is in
 * the log behind the checkpoint is left out: nobody has signed it yet.
 */
export async function exportLog(client: Client<typeof AuditService>, origin: string, folder: string): Promise<bigint> {
  const { checkpoint: latest } = await client.getCheckpoint({}, CALL_OPTIONS);
  const size = latest?.treeSize ?? 0n;
  await writeExport(folder, {
    origin,
    records: (async function* () {
      if (size > 0n) {
        yield* readRecords(client, { end: size });
      }
    })(),
    checkpoints: (async function* () {
      for await (const { note, treeSize } of readCheckpoints(client)) {
        if (treeSize <= size) {
          yield note;
        }
      }
    })(),
  });
  return size;
}

async function* readCheckpoints(client: Client<typeof AuditService>): AsyncGenerator<Checkpoint> {
  let pageToken = "";
  do {
    const page = await client.listCheckpoints({ pageSize: PAGE_SIZE, pageToken }, CALL_OPTIONS);
    yield* page.checkpoints;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Writes the record and its proof into a folder as two files, for `weir audit verify`. Returns the path of the proof. */
export async function saveProof(response: GetInclusionProofResponse, folder: string): Promise<string> {
  const { record, checkpoint, hashes } = response;
  return writeProof(folder, record!.recordId, {
    index: record!.index,
    record: record!.record,
    hashes,
    checkpoint: checkpoint!.note,
  });
}

/** Reads a trust file: the public keys that a verifier believes. */
export function readTrust(path: string): ReturnType<typeof parseTrust> {
  return parseTrust(readFileSync(path, "utf8"));
}
