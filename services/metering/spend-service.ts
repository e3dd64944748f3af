import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  Dimension,
  type ListLedgerEntriesRequest,
  type QuerySpendRequest,
  type SpendService,
} from "../../gen/weir/metering/v1/spend_service_pb.ts";
import type { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import { type Access, getAccess } from "../shared/authority/access.ts";
import type { Clock } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createPageToken, readPageSize, readPageToken, readPlaceId, readPlaceNumber } from "../shared/page.ts";
import { type EntryPlace, listEntries, type StoredEntry } from "./store/ledger.ts";
import { querySpend, type SpendColumn, type SpendCursor, type SpendGroup } from "./store/spend.ts";

const PAGE = { default: 100, max: 1_000 };

const COLUMNS: Readonly<Partial<Record<Dimension, SpendColumn>>> = {
  [Dimension.TEAM]: "team",
  [Dimension.APP]: "app",
  [Dimension.ENVIRONMENT]: "environment",
  [Dimension.KEY]: "key",
  [Dimension.MODEL]: "model",
  [Dimension.PROVIDER]: "provider",
  [Dimension.REGION]: "region",
  [Dimension.DAY]: "day",
};

/** Serves weir.metering.v1.SpendService. */
export function createSpendService(pool: Pool, clock: Clock): ServiceImpl<typeof SpendService> {
  return {
    querySpend(request, context) {
      requireFilters(request, getAccess(context));
      return answerSpend(pool, request, new Date(clock.nowMs()).toISOString().slice(0, 10));
    },
    listLedgerEntries: (request) => answerEntries(pool, request),
  };
}

/** An operator of one environment may ask for its spend, and must say so by a filter. */
function requireFilters({ organisation, filters }: QuerySpendRequest, access: Access): void {
  const environments = filters.find(({ dimension }) => dimension === Dimension.ENVIRONMENT)?.values ?? [""];
  for (const environment of environments) access.require({ organisation, environment });
}

async function answerSpend(pool: Pool, request: QuerySpendRequest, today: string) {
  const { organisation } = request;
  const lastDay = readDay("last_day", request.lastDay || today);
  const firstDay = readDay("first_day", request.firstDay || `${today.slice(0, 8)}01`);
  if (firstDay > lastDay) throw refuse("first_day", `is ${firstDay}, must not be after last_day ${lastDay}`);
  const groupBy = request.groupBy.map(toColumn);
  const filters = request.filters.map(({ dimension, values }) => ({ column: toColumn(dimension), values }));
  const limit = readPageSize(request.pageSize, PAGE);
  // The days as asked, not as resolved: a list that is read over midnight stays one list.
  const question = ["spend", organisation, request.firstDay, request.lastDay, groupBy, filters];
  const after = readCursor(question, request.pageToken, groupBy.length);
  const found = await querySpend(pool, {
    organisation,
    firstDay,
    lastDay,
    groupBy,
    filters,
    limit: limit + 1,
    ...(after === undefined ? {} : { after }),
  });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    rows: page.map((group) => toRow(groupBy, group)),
    nextPageToken:
      found.length > limit && last !== undefined
        ? createPageToken(question, [String(last.costNanos), ...last.group])
        : "",
  };
}

async function answerEntries(pool: Pool, { organisation, eventId, pageSize, pageToken }: ListLedgerEntriesRequest) {
  const limit = readPageSize(pageSize, PAGE);
  const question = ["ledger", organisation, eventId];
  const before = readPlace(question, pageToken);
  const found = await listEntries(pool, {
    organisation,
    limit: limit + 1,
    ...(eventId === "" ? {} : { eventId }),
    ...(before === undefined ? {} : { before }),
  });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    entries: page.map(toEntry),
    nextPageToken:
      found.length > limit && last !== undefined
        ? createPageToken(question, [last.postingId, String(last.number)])
        : "",
  };
}

function toRow(groupBy: readonly SpendColumn[], { group, attempts, calls, meters, quantities, costNanos }: SpendGroup) {
  return {
    ...Object.fromEntries(groupBy.map((column, index) => [column, group[index] ?? ""])),
    attempts,
    calls,
    quantities: meters.map((meter, index) => ({ meter: meter as Meter, quantity: quantities[index] ?? 0n })),
    costNanos,
  };
}

function toEntry(entry: StoredEntry) {
  return {
    entryId: `${entry.postingId}.${entry.number}`,
    postingId: entry.postingId,
    eventId: entry.eventId,
    organisation: entry.organisation,
    account: entry.account,
    amountNanos: entry.amountNanos,
    postedAt: timestampFromDate(entry.postedAt),
  };
}

function toColumn(dimension: Dimension): SpendColumn {
  const column = COLUMNS[dimension];
  if (column === undefined) throw refuse("dimension", `is ${dimension}, must be one that spend is told apart by`);
  return column;
}

function readCursor(question: readonly unknown[], token: string, groupLength: number): SpendCursor | undefined {
  const place = readPageToken(question, token, 1 + groupLength);
  if (place === undefined) return undefined;
  const [cost, ...group] = place;
  return { costNanos: readPlaceNumber(cost), group };
}

function readPlace(question: readonly unknown[], token: string): EntryPlace | undefined {
  const place = readPageToken(question, token, 2);
  return place && { postingId: readPlaceId(place[0]), number: Number(readPlaceNumber(place[1])) };
}

// The form is checked by the rules in the proto; that there is such a day is not.
function readDay(field: string, text: string): string {
  const day = new Date(`${text}T00:00:00Z`);
  if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== text) {
    throw refuse(field, `is "${text}", must be a day such as 2026-02-28`);
  }
  return text;
}

function refuse(field: string, description: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot query spend: ${field} ${description}`, {
    violations: [{ field, description }],
  });
}
