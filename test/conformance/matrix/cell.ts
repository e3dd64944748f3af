import { type Caller, type CallerName, type Gateway, NO_CONTENT, type Seen, say } from "../callers/caller.ts";
import { writeCommand } from "../provider/command.ts";
import { COLUMNS, findDue } from "./columns.ts";
import { type Due, FAULTS, type Fault } from "./faults.ts";
import type { Ledger, LedgerRow } from "./ledger.ts";
import { DIALECTS, type DialectRow, inLane } from "./router.ts";

/** One cell of the table: a fault of a dialect's provider, and a caller's way to ask. */
export interface Cell {
  readonly fault: Fault;
  readonly caller: CallerName;
  readonly dialect: DialectRow;
  readonly streamed: boolean;
  /** What it must come to. */
  readonly due: Due;
  /** The number of the models of its dialect that hardly another one asks for, see `inLane`. Absent where nothing fails. */
  readonly lane: number | undefined;
}

/** What came of a cell. */
export interface CellResult {
  readonly seen: Seen;
  /** Absent where nobody sees the gateway's books. */
  readonly ledger: LedgerRow | undefined;
  /** The same with a second target that answers well. Absent for rows that need none. */
  readonly spare: { readonly seen: Seen; readonly ledger: LedgerRow | undefined } | undefined;
}

/** Longest that a caller waits, milliseconds: what takes so long hangs for ever. */
const PATIENCE_MS = 20_000;

/** Longest that facts are waited for once everything was asked. */
const LEDGER_MS = 20_000;

/** The cells of the table, row by row. */
export function listCells(): Cell[] {
  const taken = new Map<string, number>();
  const findLane = (fault: Fault, caller: CallerName, streamed: boolean) => {
    if (fault.due === "whole") return undefined;
    const lane = `${caller} ${fault.name} ${leavesAlone(fault) && streamed}`;
    if (!taken.has(lane)) taken.set(lane, taken.size);
    return taken.get(lane);
  };
  return FAULTS.flatMap((fault) =>
    COLUMNS.flatMap(({ name: caller }) =>
      DIALECTS.flatMap((dialect) =>
        [false, true].flatMap((streamed) => {
          const due = findDue(fault, caller, dialect.name, streamed);
          if (due === undefined) return [];
          return [{ fault, caller, dialect, streamed, due, lane: findLane(fault, caller, streamed) }];
        }),
      ),
    ),
  );
}

/** Whether one such fault is enough for a router to leave a target alone; of others two do no harm. */
function leavesAlone({ command }: Fault): boolean {
  return command.status === 429 || command.status === 529 || command.fault === "error";
}

/** What callers saw of a cell, before the ledger has it. */
interface Asked {
  readonly seen: Seen;
  readonly spare: Seen | undefined;
}

/** Asks what a cell says. */
async function askCell(cell: Cell, gateway: Gateway, options: RunOptions): Promise<Asked> {
  const { fault, dialect, lane } = cell;
  const row = `${dialect.name}${fault.isSilent ? "-hasty" : ""}`;
  const toModel = (model: string) => options.model ?? (options.hasLanes ? inLane(model, lane) : model);
  const seen = await askOnce(cell, toModel(row), gateway);
  if (cell.due !== "error" && cell.due !== "refusal") return { seen, spare: undefined };
  return { seen, spare: await askOnce(cell, toModel(`${row}-spare`), options.spareGateway ?? gateway) };
}

async function askOnce(cell: Cell, model: string, gateway: Gateway): Promise<Seen> {
  const caller = COLUMNS.find(({ name }) => name === cell.caller) as Caller;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const hasTools = cell.fault.command.answer === "tool" || cell.fault.command.answer === "tools";
  const turns = say(`How deep is the river? ${writeCommand(cell.fault.command)}`);
  return caller.ask(gateway, { model, streamed: cell.streamed, turns, hasTools }, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    return NO_END;
  });
}

/** What should have left a row and did not by the deadline is an empty one. */
async function findRow(
  ledger: Ledger | undefined,
  { headers }: Seen,
  deadline: Promise<unknown>,
): Promise<LedgerRow | undefined> {
  if (ledger === undefined) return undefined;
  const id = headers["x-request-id"];
  return id === undefined ? NO_ROW : Promise.race([ledger.get(id), deadline.then(() => NO_ROW)]);
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
  ...NO_CONTENT,
  status: 0,
  headers: {},
  error: { type: "no end", message: `Nothing came to an end within ${PATIENCE_MS} ms` },
  isClean: false,
};

/** How cells are run. */
export interface RunOptions {
  /** Where the gateway's facts come to. Without one nobody sees its books. */
  readonly ledger?: Ledger;
  /** How many at a time. Default 32. */
  readonly width?: number;
  /** What is asked where a second target is to be there. Default the gateway itself, for another model. */
  readonly spareGateway?: Gateway;
  /** The model that is asked for. Default one for each row, as {@link DialectRow} tells. */
  readonly model?: string;
  /** Whether each cell asks for models of its own. Default false: another gateway has one for each row. */
  readonly hasLanes?: boolean;
  readonly onResult: (cell: Cell, result: CellResult) => void;
}

/** Runs cells side by side, then looks up what the ledger got. Calls `onResult` with each cell once. */
export async function runCells(cells: readonly Cell[], gateway: Gateway, options: RunOptions): Promise<void> {
  const { ledger, width = 32, onResult } = options;
  const queue = cells.values();
  const asked: (readonly [Cell, Asked])[] = [];
  const work = async () => {
    for (const cell of queue) asked.push([cell, await askCell(cell, gateway, options)]);
  };
  await Promise.all(Array.from({ length: width }, work));
  const { promise: deadline, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, LEDGER_MS);
  for (const [cell, { seen, spare }] of asked) {
    onResult(cell, {
      seen,
      ledger: await findRow(ledger, seen, deadline),
      spare: spare && { seen: spare, ledger: await findRow(ledger, spare, deadline) },
    });
  }
  clearTimeout(timer);
}
