import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { WeirError } from "../services/shared/errors/weir-error.ts";
import { fromConnectError } from "../services/shared/errors/wire.ts";
import { formatDollars } from "../services/shared/money/money.ts";

/** How a command prints its result: a table for people, or one JSON document for programs. */
export type OutputFormat = "text" | "json";

/**
 * Prints rows under a header, in columns as wide as their widest cell. Numbers (cells that look like one) stand to the right. What cells hold
 * may come from anyone, such as the model that a caller asked for.
 */
export function formatTable(header: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(escapeControl));
  // One by one: an organisation has more keys than a call takes arguments.
  const widths = header.map((title, column) =>
    rows.reduce((widest, row) => Math.max(widest, (row[column] ?? "").length), title.length),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (/^-?[\d.,]+$/.test(cell) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** Prints a message: as proto JSON, or as the text that is made of it. */
export function printMessage<Desc extends DescMessage>(
  format: OutputFormat,
  schema: Desc,
  message: MessageShape<Desc>,
  toText: () => string,
): void {
  if (format === "json") printJson(toJson(schema, message));
  else console.log(toText());
}

/** Prints what no message of a service is, as one JSON document. Texts in it are safe to print, as in a table: what reads JSON reads them as they were. */
export function printJson(value: unknown): void {
  console.log(escapeLines(JSON.stringify(value, null, 2)));
}

/** Text that is safe to print: what comes from a file or a service must not move a terminal's cursor or turn the direction of text. */
export function escapeControl(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same of a text whose lines are ours. */
function escapeLines(text: string): string {
  return text.split("\n").map(escapeControl).join("\n");
}

/** Money as text with all its digits: "$0.000123450". */
export function formatCost(nanos: bigint): string {
  return `$${formatDollars(nanos)}`;
}

/** A moment as ISO text in UTC, to the second. Empty when there is none. */
export function formatTime(timestamp: { seconds: bigint } | undefined): string {
  return timestamp ? new Date(Number(timestamp.seconds) * 1000).toISOString().replace(".000Z", "Z") : "";
}

/**
 * Prints why a command failed to standard error: the message, which may have several lines, then one line for each field at fault. What it says may
 * come from a file or a service.
 */
export function printFailure(format: OutputFormat, error: unknown): void {
  // Errors of services and of shared code have a reason; the others come from here or from the system, and their message says it.
  const hasReason = error instanceof ConnectError || error instanceof WeirError;
  const failure = hasReason ? fromConnectError(error) : undefined;
  const message = failure?.message ?? describeError(error as NodeJS.ErrnoException);
  if (format === "json") {
    const { reason = "INTERNAL", facts = {}, violations = [] } = failure ?? {};
    console.error(escapeControl(JSON.stringify({ error: { reason, message, facts, violations } })));
    return;
  }
  console.error(escapeLines(message));
  for (const { field, description } of failure?.violations ?? []) {
    console.error(escapeControl(`  ${field}: ${description}`));
  }
}

/** The message of an error, with those of the file system in our words. */
function describeError(error: NodeJS.ErrnoException): string {
  const state = { ENOENT: "it does not exist", EACCES: "it may not be read", EEXIST: "it exists already" }[
    error.code ?? ""
  ];
  return state && error.path ? `Cannot open "${error.path}": ${state}` : error.message;
}
