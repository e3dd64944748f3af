/** Records for tests with a whole mesh: what was said in a log, and the `weir` command as an auditor runs it. */
import { fromBinary } from "@bufbuild/protobuf";
import { CALL_OPTIONS, withClient } from "../cli/control-plane.ts";
import {
  AuditService,
  type GetInclusionProofResponse,
  type LoggedRecord,
} from "../gen/weir/audit/v1/audit_service_pb.ts";
import { type Record as AuditRecord, RecordSchema } from "../gen/weir/audit/v1/record_pb.ts";
import type { Mesh } from "./mesh.ts";
import { startCommand } from "./processes.ts";

/** A record of a log: where it stands, its bytes, and what they say. */
export interface ReadRecord {
  readonly logged: LoggedRecord;
  readonly record: AuditRecord;
}

/** Reads all records of a log, or of "control". */
export async function readLog(mesh: Pick<Mesh, "addresses">, region: string): Promise<ReadRecord[]> {
  const found: ReadRecord[] = [];
  await withClient(mesh.addresses.audit[region] ?? "", AuditService, async (client) => {
    let pageToken = "";
    do {
      const page = await client.listRecords({ pageSize: 500, pageToken }, CALL_OPTIONS);
      for (const logged of page.records) found.push({ logged, record: fromBinary(RecordSchema, logged.record) });
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  });
  return found;
}

/** Waits until the log of a region proves this record, and returns the proof. Throws with the last error after `timeoutMs`. */
export async function waitProof(
  mesh: Pick<Mesh, "addresses">,
  region: string,
  recordId: string,
  timeoutMs = 60_000,
): Promise<GetInclusionProofResponse> {
  const ask = () =>
    withClient(mesh.addresses.audit[region] ?? "", AuditService, (client) =>
      client.getInclusionProof({ recordId }, CALL_OPTIONS),
    );
  return await waitFor(ask, () => true, timeoutMs);
}

/** Asks until the answer is the one wanted. After `timeoutMs` it throws the last error, or shows the last answer. */
export async function waitFor<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const answer = await ask();
      if (isIt(answer)) return answer;
      last = new Error(`Cannot wait longer than ${timeoutMs} ms: the last answer was ${describe(answer)}`);
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs the `weir` command against this mesh. Returns its exit code and all that it printed. */
export async function runWeir(
  mesh: Pick<Mesh, "addresses">,
  ...args: string[]
): Promise<{ readonly code: number | NodeJS.Signals; readonly output: string }> {
  const { policy, metering, audit, trust } = mesh.addresses;
  const command = startCommand(process.execPath, ["cli/main.ts", ...args], {
    WEIR_POLICY_ADDRESS: policy.address,
    WEIR_METERING_ADDRESS: metering.address,
    WEIR_AUDIT_ADDRESSES: Object.entries(audit)
      .map(([region, { address }]) => `${region}=${address}`)
      .join(","),
    WEIR_TOKEN_FILE: policy.tokenFile ?? "",
    WEIR_TRUST: trust,
  });
  const code = await command.ended;
  return { code, output: command.output() };
}

function describe(answer: unknown): string {
  return (JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? String(value) : value)) ?? "nothing").slice(
    0,
    500,
  );
}
