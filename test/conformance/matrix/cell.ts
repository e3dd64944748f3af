import { type Caller, type CallerName, type Gateway, type Seen, say } from "../callers/caller.ts";
import { chatCompletions } from "../callers/chat-completions.ts";
import { grpc } from "../callers/grpc.ts";
import { messages } from "../callers/messages.ts";
import { responses } from "../callers/responses.ts";
import { writeCommand } from "../provider/command.ts";
import { FAULTS, type Fault } from "./faults.ts";
import type { Ledger, LedgerRow } from "./ledger.ts";
import { DIALECTS, type DialectRow } from "./router.ts";

/** One cell of the table: a fault of a dialect's provider, and a caller's way to ask. */
export interface Cell {
  readonly fault: Fault;
  readonly caller: CallerName;
  readonly dialect: DialectRow;
  readonly streamed: boolean;
}

/** What came of a cell. */
export interface CellResult {
  readonly seen: Seen;
  /** Absent where nobody sees the gateway's books. */
  readonly ledger: LedgerRow | undefined;
  /** The same with a second target that answers well. Absent for rows that need none. */
  readonly spare: { readonly seen: Seen; readonly ledger: LedgerRow | undefined } | undefined;
}

/** All callers. */
export const CALLERS: readonly Caller[] = [chatCompletions, responses, messages, grpc];

/** Longest that a caller waits, milliseconds: what takes so long hangs for ever. */
const PATIENCE_MS = 20_000;

/** Longest that a fact is waited for; the spool ships each second, or sooner. */
const LEDGER_MS = 5_000;

/** The cells of the table, row by row. */
export function listCells(): Cell[] {
  return FAULTS.flatMap((fault) =>
    CALLERS.flatMap(({ name: caller }) =>
      DIALECTS.flatMap((dialect) =>
        [false, true]
          .filter((streamed) => fault.only === undefined || (fault.only === "stream") === streamed)
          .map((streamed) => ({ fault, caller, dialect, streamed })),
      ),
    ),
  );
}

/** Asks what a cell says. Resolves once the caller has its answer, with what resolves once the ledger has its row as well. */
export async function runCell(
  cell: Cell,
  gateway: Gateway,
  ledger: Ledger | undefined,
): Promise<{ readonly settled: Promise<CellResult> }> {
  const { fault, dialect } = cell;
  const model = `${dialect.name}${fault.isSilent ? "-hasty" : ""}`;
  const first = await askOnce(cell, model, gateway);
  const needsSpare = fault.due === "error" || fault.due === "refusal";
  const spare = needsSpare ? await askOnce(cell, `${model}-spare`, gateway) : undefined;
  const settle = async (seen: Seen) => ({ seen, ledger: await findRow(ledger, seen.headers["x-request-id"]) });
  return { settled: (async () => ({ ...(await settle(first)), spare: spare && (await settle(spare)) }))() };
}

async function askOnce(cell: Cell, model: string, gateway: Gateway): Promise<Seen> {
  const caller = CALLERS.find(({ name }) => name === cell.caller) as Caller;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const hasTools = cell.fault.command.answer === "tool" || cell.fault.command.answer === "tools";
  const turns = say(`How deep is the river? ${writeCommand(cell.fault.command)}`);
  return caller.ask(gateway, { model, streamed: cell.streamed, turns, hasTools }, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    return NO_END;
  });
}

/** What should have left a row and did not is an empty one. */
async function findRow(ledger: Ledger | undefined, id: string | undefined): Promise<LedgerRow | undefined> {
  if (ledger === undefined) return undefined;
  if (id === undefined) return NO_ROW;
  const { promise, resolve } = Promise.withResolvers<LedgerRow>();
  const timer = setTimeout(() => resolve(NO_ROW), LEDGER_MS);
  try {
    return await Promise.race([ledger.get(id), promise]);
  } finally {
    clearTimeout(timer);
  }
}

const NO_ROW: LedgerRow = {
  usages: 0,
  records: 0,
  outcome: "nothing",
  source: "",
  input: 0,
  output: 0,
  attempts: 0,
};

const NO_END: Seen = {
  status: 0,
  headers: {},
  text: "",
  tools: [],
  reasoning: [],
  refusal: "",
  stop: "",
  usage: undefined,
  error: { type: "no end", message: `Nothing came to an end within ${PATIENCE_MS} ms` },
  hasMark: false,
  isClean: false,
};

/** Runs cells side by side. Calls `onResult` with each as it is done. */
export async function runCells(
  cells: readonly Cell[],
  gateway: Gateway,
  options: {
    readonly ledger?: Ledger;
    /** How many at a time. Default 32. */
    readonly width?: number;
    readonly onResult: (cell: Cell, result: CellResult) => void;
  },
): Promise<void> {
  const queue = cells.values();
  const settling: Promise<void>[] = [];
  const work = async () => {
    for (const cell of queue) {
      const { settled } = await runCell(cell, gateway, options.ledger);
      settling.push(settled.then((result) => options.onResult(cell, result)));
    }
  };
  await Promise.all(Array.from({ length: options.width ?? 32 }, work));
  await Promise.all(settling);
}
