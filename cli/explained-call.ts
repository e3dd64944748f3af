import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExplainRequestSchema } from "../gen/weir/policy/v1/explain_service_pb.ts";
import type { Endpoint } from "./addresses.ts";
import { decodeRecord, withAuditLog } from "./audit-log.ts";
import { CALL_OPTIONS } from "./control-plane.ts";

/**
 * Asks a region's audit for the record of a call, and makes of it what ExplainService needs to run its decision again. Throws when the
 * record is of something else: a call that was refused leaves none of its own.
 */
export async function findRecordedCall(
  audit: Readonly<Record<string, Endpoint>>,
  region: string,
  eventId: string,
): Promise<Exclude<MessageInitShape<typeof ExplainRequestSchema>, { $typeName: unknown }>> {
  const { record: logged } = await withAuditLog(audit, region, (client) =>
    client.getRecord({ recordId: eventId }, CALL_OPTIONS),
  );
  const act = logged === undefined ? undefined : decodeRecord(logged).act;
  if (act?.case !== "call") throw new Error(`Cannot explain: record "${eventId}" is not that of a call`);
  const { caller, model, operation, streamed, candidates, versions, startedAt, ruling } = act.value;
  return {
    region,
    eventId,
    keyId: caller?.identity.case === "keyId" ? caller.identity.value : "",
    ...(caller !== undefined && { caller }),
    model,
    operation,
    streamed,
    candidates,
    snapshotVersion: versions?.snapshotVersion ?? 0n,
    ...(startedAt !== undefined && { arrivedAt: startedAt }),
    ...(ruling?.facts !== undefined && { facts: ruling.facts }),
  };
}
