import { create } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  Dimension,
  QuerySpendResponseSchema,
  type SpendRow,
  SpendService,
} from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { formatCost, formatTable, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";

const DIMENSIONS = {
  team: Dimension.TEAM,
  app: Dimension.APP,
  environment: Dimension.ENVIRONMENT,
  key: Dimension.KEY,
  model: Dimension.MODEL,
  provider: Dimension.PROVIDER,
  region: Dimension.REGION,
  day: Dimension.DAY,
} as const;

/** Name of a dimension of spend, which is also its field in a row. */
export type DimensionName = keyof typeof DIMENSIONS;

/** What to ask metering for. */
export interface SpendQuestion {
  readonly organisation: string;
  readonly by: readonly DimensionName[];
  readonly filters?: readonly { readonly dimension: DimensionName; readonly values: readonly string[] }[];
  /** Days in UTC as YYYY-MM-DD. Default: this month. */
  readonly from?: string;
  readonly to?: string;
}

/** Adds `weir spend`: what was spent, told apart as asked. */
export function addSpendCommand(program: Command): void {
  program
    .command("spend")
    .description("show what was spent, dearest first")
    .requiredOption("--organisation <id>", "who pays")
    .option(
      "--by <dimensions>",
      `told apart by these, with commas: ${Object.keys(DIMENSIONS).join(", ")}`,
      parseDimensions,
      ["team", "model"],
    )
    .option(
      "--filter <dimension=value...>",
      "only what matches; a dimension given twice matches either value",
      parseFilter,
      [],
    )
    .option("--from <day>", "first day (UTC), YYYY-MM-DD; by default the first of this month")
    .option("--to <day>", "last day (UTC), included; by default today")
    .action(async (options: SpendQuestion & { filter: ParsedFilter[] }, command: Command) => {
      const { addresses, output } = getContext(command);
      const rows = await querySpend(addresses, { ...options, filters: groupFilters(options.filter) });
      printMessage(output, QuerySpendResponseSchema, create(QuerySpendResponseSchema, { rows }), () =>
        formatSpend(options.by, rows),
      );
    });
}

/** Asks metering for spend and reads all pages. */
export async function querySpend(addresses: Context["addresses"], question: SpendQuestion): Promise<SpendRow[]> {
  return withClient(addresses.metering, SpendService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.querySpend(
        {
          organisation: question.organisation,
          groupBy: question.by.map((name) => DIMENSIONS[name]),
          filters: (question.filters ?? []).map(({ dimension, values }) => ({
            dimension: DIMENSIONS[dimension],
            values: [...values],
          })),
          firstDay: question.from ?? "",
          lastDay: question.to ?? "",
          pageSize: 1_000,
          pageToken,
        },
        CALL_OPTIONS,
      );
      return { items: page.rows, nextPageToken: page.nextPageToken };
    }),
  );
}

/** Prints spend as a table, with a last line for the sum when there are several rows. */
export function formatSpend(by: readonly DimensionName[], rows: readonly SpendRow[]): string {
  const tokens = (row: SpendRow, meters: readonly Meter[]) =>
    row.quantities.filter(({ meter }) => meters.includes(meter)).reduce((sum, { quantity }) => sum + quantity, 0n);
  const INPUT = [Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.CACHE_WRITE_TOKENS];
  const OUTPUT = [Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS];
  const sum = (of: (row: SpendRow) => bigint) => rows.reduce((total, row) => total + of(row), 0n);
  const numbers = (value: (of: (row: SpendRow) => bigint) => bigint) => [
    String(value((row) => row.calls)),
    String(value((row) => tokens(row, INPUT))),
    String(value((row) => tokens(row, OUTPUT))),
    formatCost(value((row) => row.costNanos)),
  ];
  return formatTable(
    [...by, "calls", "tokens in", "tokens out", "cost"],
    [
      ...rows.map((row) => [...by.map((name) => row[name]), ...numbers((of) => of(row))]),
      ...(rows.length === 1 || by.length === 0
        ? []
        : [[...by.map((_, index) => (index === 0 ? "all" : "")), ...numbers(sum)]]),
    ],
  );
}

interface ParsedFilter {
  readonly dimension: DimensionName;
  readonly value: string;
}

function groupFilters(filters: readonly ParsedFilter[]): NonNullable<SpendQuestion["filters"]> {
  const values = new Map<DimensionName, string[]>();
  for (const { dimension, value } of filters) {
    values.set(dimension, [...(values.get(dimension) ?? []), value]);
  }
  return [...values].map(([dimension, list]) => ({ dimension, values: list }));
}

function parseDimensions(text: string): DimensionName[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .map(parseDimension);
}

function parseFilter(text: string, previous: readonly ParsedFilter[]): ParsedFilter[] {
  const [name = "", ...rest] = text.split("=");
  const value = rest.join("=");
  if (value === "") {
    throw new InvalidArgumentError(`should be dimension=value, such as team=search`);
  }
  return [...previous, { dimension: parseDimension(name), value }];
}

function parseDimension(name: string): DimensionName {
  if (!Object.hasOwn(DIMENSIONS, name)) {
    throw new InvalidArgumentError(`"${name}" is not one of ${Object.keys(DIMENSIONS).join(", ")}`);
  }
  return name as DimensionName;
}
