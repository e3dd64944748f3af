import { readFileSync, statSync } from "node:fs";
import { create, toJson } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  GetInclusionProofResponseSchema,
  ListRecordsResponseSchema,
  type LoggedRecord,
} from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { type Record as AuditRecord, RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import type { Verdict } from "../../services/audit/verification/verdict.ts";
import { verifyExportFolder } from "../../services/audit/verification/verify-export.ts";
import { verifyRecord } from "../../services/audit/verification/verify-record.ts";
import { readProof } from "../../services/audit/verification/write-proof.ts";
import { decodeRecord, exportLog, readRecords, readTrust, saveProof, withAuditLog } from "../audit-log.ts";
import { CALL_OPTIONS } from "../control-plane.ts";
import { describeAct } from "../describe-act.ts";
import { parseCount } from "../key-options.ts";
import { createAuditOrigin } from "../keygen.ts";
import { escapeControl, formatTable, formatTime, type OutputFormat, printJson, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";

interface RegionOption {
  readonly region: string;
}

interface VerifyOptions {
  readonly trust?: string;
  readonly origin?: string;
  readonly checkpoint: readonly string[];
}

/** Adds `weir audit …`: what an auditor does with records and proofs. */
export function addAuditCommands(program: Command): void {
  const audit = program.command("audit").description("show records, fetch proofs, verify them offline");

  audit
    .command("list")
    .description("list the records of a log by rising index")
    .requiredOption("--region <id>", 'whose log: a region, or "control" for policy and key changes')
    .option("--organisation <id>", "only those of this organisation", "")
    .option("--first <index>", "first index wanted; by default 0", parseIndex)
    .option("--limit <n>", "how many at most", parseCount, 50)
    .action((options: RegionOption & { organisation: string; first?: bigint; limit: number }, command: Command) =>
      list({ ...options, first: options.first ?? 0n }, getContext(command)),
    );

  audit
    .command("get")
    .description("print a record")
    .argument("<record-id>", "for a chat the x-request-id of its answer")
    .requiredOption("--region <id>", "whose log")
    .action((recordId: string, { region }: RegionOption, command: Command) =>
      get(recordId, region, getContext(command)),
    );

  audit
    .command("proof")
    .description("fetch a record and the proof that the log holds it, as files to verify anywhere")
    .argument("<record-id>", "for a chat the x-request-id of its answer")
    .requiredOption("--region <id>", "whose log")
    .option("--out <folder>", "where to", ".")
    .action((recordId: string, { region, out }: RegionOption & { out: string }, command: Command) =>
      proof(recordId, region, out, getContext(command)),
    );

  audit
    .command("export")
    .description("write a whole log with its checkpoints into a folder, up to the latest checkpoint")
    .requiredOption("--region <id>", "whose log")
    .requiredOption("--out <folder>", "where to; files that are there are not overwritten")
    .option("--origin <text>", "origin of the log; by default that of the development mesh")
    .action(({ region, out, origin }: RegionOption & { out: string; origin?: string }, command: Command) =>
      exportTo(region, out, origin ?? createAuditOrigin(region), getContext(command)),
    );

  audit
    .command("verify")
    .description("verify an export, or a proof, offline; exits 1 when anything is not as it was signed")
    .argument("<path>", "folder of an export, or a .tlog-proof file with its .record beside it")
    .option("--trust <file>", "verifier keys, one a line, got another way than what is verified")
    .option("--origin <text>", "the log that it must be of")
    .option("--checkpoint <file...>", "signed checkpoints kept from before, which the export must continue", [])
    .action((path: string, options: VerifyOptions, command: Command) => verify(path, options, getContext(command)));
}

async function list(
  options: RegionOption & { organisation: string; first: bigint; limit: number },
  { addresses, output }: Context,
): Promise<void> {
  const records: LoggedRecord[] = [];
  await withAuditLog(addresses.audit, options.region, async (client) => {
    for await (const record of readRecords(client, options)) {
      records.push(record);
      if (records.length >= options.limit) {
        return;
      }
    }
  });
  printMessage(output, ListRecordsResponseSchema, create(ListRecordsResponseSchema, { records }), () =>
    formatTable(
      ["index", "time", "record", "what"],
      records.map((logged) => {
        const record = decodeRecord(logged);
        return [String(logged.index), formatTime(record.recordedAt), record.recordId, describeAct(record)];
      }),
    ),
  );
}

async function get(recordId: string, region: string, { addresses }: Context): Promise<void> {
  const { record } = await withAuditLog(addresses.audit, region, (client) =>
    client.getRecord({ recordId }, CALL_OPTIONS),
  );
  // A record is a tree; its JSON form is the readable one too.
  printJson({ index: String(record!.index), ...asObject(decodeRecord(record!)) });
}

async function proof(recordId: string, region: string, out: string, { addresses, output }: Context): Promise<void> {
  const response = await withAuditLog(addresses.audit, region, (client) =>
    client.getInclusionProof({ recordId }, CALL_OPTIONS),
  );
  const path = await saveProof(response, out);
  printMessage(output, GetInclusionProofResponseSchema, response, () =>
    [
      `Record ${response.record?.index} of ${response.checkpoint?.treeSize}, proven by ${response.hashes.length} hashes`,
      `Verify it anywhere with: weir audit verify ${path} --trust ${addresses.trust}`,
    ].join("\n"),
  );
}

async function exportTo(region: string, folder: string, origin: string, { addresses, output }: Context): Promise<void> {
  const size = await withAuditLog(addresses.audit, region, (client) => exportLog(client, origin, folder));
  console.log(
    output === "json"
      ? JSON.stringify({ origin, folder, records: String(size) })
      : `Exported ${size} records of ${origin}\nVerify them anywhere with: weir audit verify ${folder} --trust ${addresses.trust}`,
  );
}

async function verify(path: string, options: VerifyOptions, { addresses, output }: Context): Promise<void> {
  const trust = {
    verifiers: readTrust(options.trust ?? addresses.trust),
    ...(options.origin === undefined ? {} : { origin: options.origin }),
  };
  const remembered = options.checkpoint.map((file) => readFileSync(file));
  const verdict = statSync(path).isDirectory()
    ? await verifyExportFolder(path, { ...trust, remembered })
    : await verifyRecord(await readProof(path), trust);
  printVerdict(output, verdict);
  process.exitCode = verdict.kind === "proven" ? 0 : 1;
}

function printVerdict(output: OutputFormat, verdict: Verdict): void {
  if (output === "json") {
    const text = JSON.stringify(verdict, (_, value: unknown) =>
      typeof value === "bigint"
        ? String(value)
        : value instanceof Uint8Array
          ? Buffer.from(value).toString("base64")
          : value,
    );
    console.log(escapeControl(text));
  } else if (verdict.kind === "proven") {
    const root = Buffer.from(verdict.root).toString("base64");
    console.log(escapeControl(`PROVEN: ${verdict.origin}, ${verdict.size} records, root ${root}`));
  } else {
    console.error(escapeControl(`REFUSED (${verdict.fault}): ${verdict.message}`));
  }
}

function asObject(record: AuditRecord): object {
  return toJson(RecordSchema, record) as object;
}

function parseIndex(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) {
    throw new InvalidArgumentError("should be a whole number from 0");
  }
  return BigInt(text);
}
