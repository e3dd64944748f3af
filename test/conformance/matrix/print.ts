import type { Cell, CellResult } from "./cell.ts";
import type { LedgerRow } from "./ledger.ts";
import { describeSeen, judge } from "./rules.ts";

/** A cell with what came of it. */
export interface Judged {
  readonly cell: Cell;
  readonly result: CellResult;
  /** What is wrong with it; empty when it is as it must be. */
  readonly wrong: readonly string[];
}

/** Puts a cell's result to the rules. */
export function toJudged(cell: Cell, result: CellResult): Judged {
  return { cell, result, wrong: judge(cell, result) };
}

/**
 * Writes the table: a line for each fault, caller and different outcome, with the targets and ways for which it is the same. Lines
 * that break a rule begin with "FAIL" and end with what is wrong.
 */
export function printTable(judged: readonly Judged[]): string {
  const lines: string[] = [];
  for (const [fault, ofFault] of groupBy(judged, ({ cell }) => cell.fault.name)) {
    lines.push("", `## ${fault}`);
    for (const [, alike] of groupBy(ofFault, describe)) {
      const { cell, result, wrong } = alike[0] as Judged;
      const mark = wrong.length === 0 ? "ok  " : "FAIL";
      const where = [...groupBy(alike, ({ cell: one }) => one.dialect.name)]
        .map(([name, ways]) => (ways.length === 2 ? name : `${name} ${ways[0]?.cell.streamed ? "streamed" : "unary"}`))
        .join(", ");
      lines.push(
        `${mark} ${cell.caller.padEnd(18)} → ${where}`,
        `       caller: ${describeCaller(result)}   ledger: ${describeLedger(result.ledger)}${describeSpare(result)}`,
        ...wrong.map((what) => `       !! ${what}`),
      );
    }
  }
  const failed = judged.filter(({ wrong }) => wrong.length > 0).length;
  lines.push("", `${judged.length} cells, ${judged.length - failed} as they must be, ${failed} not`);
  return lines.join("\n");
}

/** Writes how many cells are as they must be, by caller and dialect. */
export function printSummary(judged: readonly Judged[]): string {
  const callers = [...groupBy(judged, ({ cell }) => cell.caller)];
  const dialects = [...groupBy(judged, ({ cell }) => cell.dialect.name).keys()];
  const rows = callers.map(([caller, ofCaller]) => {
    const counts = dialects.map((dialect) => {
      const cells = ofCaller.filter(({ cell }) => cell.dialect.name === dialect);
      return `${cells.filter(({ wrong }) => wrong.length === 0).length}/${cells.length}`.padStart(10);
    });
    return `${caller.padEnd(20)}${counts.join("")}`;
  });
  return [`${"".padEnd(20)}${dialects.map((name) => name.padStart(10)).join("")}`, ...rows].join("\n");
}

function describe({ cell, result, wrong }: Judged): string {
  return [cell.caller, describeCaller(result), describeLedger(result.ledger), describeSpare(result), ...wrong].join(
    "|",
  );
}

function describeCaller({ seen }: CellResult): string {
  const retry = seen.headers["x-should-retry"];
  const after = seen.headers["retry-after"];
  return [
    describeSeen(seen),
    ...(after === undefined ? [] : [`retry-after ${after}`]),
    ...(retry === undefined ? [] : [`x-should-retry ${retry}`]),
  ].join(", ");
}

function describeLedger(ledger: LedgerRow | undefined): string {
  if (ledger === undefined) return "–";
  const { outcome, source, input, output } = ledger;
  return source === "" ? outcome : `${outcome} ${input} + ${output} ${source}`;
}

function describeSpare({ spare }: CellResult): string {
  return spare === undefined ? "" : `   with a spare: ${describeSeen(spare.seen)}`;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  return Map.groupBy(items, key);
}
