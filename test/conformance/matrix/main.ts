// `npm run conformance`: the table of faults, callers and dialects, as it is now. Without options it asks a router of its own, in this
// process. With `--base-url URL --key KEY` it asks any other gateway, which must have been told of the conformance provider as the text of
// `--help` says; the columns of the ledger are empty then.
import { parseArgs } from "node:util";
import type { CallerName, Gateway } from "../callers/caller.ts";
import { closeGrpcClients } from "../callers/grpc.ts";
import { startConformanceProvider } from "../provider/provider.ts";
import { listCells, runCells } from "./cell.ts";
import { CALLERS, COLUMNS } from "./columns.ts";
import { type Judged, printSummary, printTable, toJudged } from "./print.ts";
import { DIALECTS, type DialectRow, startMatrixRouter } from "./router.ts";

const HELP = `npm run conformance -- [options]

  --base-url URL     another gateway, in place of a router in this process
  --key KEY          key for it
  --header "a: b"    header that it wants beside the key; may be repeated
  --spare-header "a: b"   the same, in place of those of --header where a second target is to be there
  --model NAME       model that is asked for in place of the names below, for a gateway that is told its targets by headers
  --port PORT        where the provider listens, default 7450 with --base-url, else any free port
  --caller NAME      only this caller: ${COLUMNS.map(({ name }) => name).join(", ")}; may be repeated
  --dialect NAME     only this dialect: ${DIALECTS.map(({ name }) => name).join(", ")}; may be repeated
  --summary          only the counts

The gateway needs three models for each dialect, at http://127.0.0.1:PORT and its path:
${DIALECTS.map(describeModels).join("\n")}
and "NAME-hasty", "NAME-hasty-spare" with timeouts of a second. gRPC is asked of Weir only.`;

/** What other gateways are asked unless the options say otherwise. */
const STRANGERS: readonly CallerName[] = CALLERS.map(({ name }) => name).filter((name) => name !== "grpc");

const { values } = parseArgs({
  options: {
    "base-url": { type: "string" },
    key: { type: "string", default: "" },
    header: { type: "string", multiple: true, default: [] },
    "spare-header": { type: "string", multiple: true, default: [] },
    model: { type: "string" },
    port: { type: "string" },
    caller: { type: "string", multiple: true },
    dialect: { type: "string", multiple: true },
    summary: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) console.log(HELP);
else process.exitCode = await run();

async function run(): Promise<number> {
  const baseUrl = values["base-url"];
  const port = values.port ?? (baseUrl === undefined ? "0" : "7450");
  const provider = await startConformanceProvider({ port: Number(port) });
  const all = listCells();
  const router = baseUrl === undefined ? await startMatrixRouter(provider.address, { cells: all }) : undefined;
  const gateway: Gateway =
    router === undefined
      ? { origin: (baseUrl ?? "").replace(/\/+(v1\/*)?$/, ""), key: values.key, headers: readHeaders(values.header) }
      : { origin: router.harness.address, key: router.harness.key, headers: {} };
  const cells = all.filter(
    ({ caller, dialect }) =>
      (values.caller?.includes(caller) ?? (router !== undefined || STRANGERS.includes(caller))) &&
      (values.dialect?.includes(dialect.name) ?? true),
  );
  const results = new Map<(typeof cells)[number], Judged>();
  const started = performance.now();
  const spareHeaders = readHeaders(values["spare-header"]);
  const spareGateway = Object.keys(spareHeaders).length > 0 ? { ...gateway, headers: spareHeaders } : gateway;
  await runCells(cells, gateway, {
    spareGateway,
    ...(values.model !== undefined && { model: values.model }),
    ...(router && { ledger: router.ledger, hasLanes: true }),
    onResult: (cell, result) => results.set(cell, toJudged(cell, result)),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const judged = cells.map((cell) => results.get(cell) as Judged);
  if (!values.summary) console.log(printTable(judged));
  console.log(`\n${printSummary(judged)}\n\n${seconds} s, against ${baseUrl ?? "a router in this process"}`);
  closeGrpcClients();
  await router?.close();
  await provider.close();
  return judged.every(({ wrong }) => wrong.length === 0) ? 0 : 1;
}

function describeModels({ name, basePath, model = "scripted" }: DialectRow): string {
  return `  "${name}" ("${model}" at ${basePath || "/"}), "${name}-spare" (the same, falling back to "${model}-steady"),`;
}

function readHeaders(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const [name = "", ...value] = line.split(":");
      return [name.trim().toLowerCase(), value.join(":").trim()];
    }),
  );
}
