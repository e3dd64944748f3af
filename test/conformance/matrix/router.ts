import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Dialect, type ModelSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  type SnapshotProviderSchema,
  SnapshotSchema,
  type SnapshotTargetSchema,
} from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { openAccounting } from "../../../services/router/accounting/open-accounting.ts";
import { type Harness, startHarness } from "../../../services/router/harness.fixture.ts";
import type { Clock } from "../../../services/shared/clock.ts";
import { createBootId } from "../../../services/shared/ids.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { CREDENTIAL } from "../provider/provider.ts";
import type { Cell } from "./cell.ts";
import { Ledger } from "./ledger.ts";

/** A dialect of the table: how a provider of it stands in a policy. */
export interface DialectRow {
  /** Also the id of its model: "openai". "openai-hasty" has short timeouts, "openai-spare" a second target that answers well. */
  readonly name: "openai" | "azure" | "anthropic" | "gemini" | "bedrock";
  readonly dialect: Dialect;
  /** Path of the provider's base URL. */
  readonly basePath: string;
  /** The provider's name of the model. Default "scripted". */
  readonly model?: string;
  readonly apiVersion?: string;
  readonly cloudRegion?: string;
}

/** All dialects. */
export const DIALECTS: readonly DialectRow[] = [
  { name: "openai", dialect: Dialect.OPENAI, basePath: "/v1" },
  { name: "azure", dialect: Dialect.AZURE_OPENAI, basePath: "/openai", apiVersion: "2024-10-21" },
  { name: "anthropic", dialect: Dialect.ANTHROPIC, basePath: "/v1" },
  { name: "gemini", dialect: Dialect.GEMINI, basePath: "/v1beta" },
  { name: "bedrock", dialect: Dialect.BEDROCK, basePath: "", model: "eu.scripted-v1:0", cloudRegion: "eu-central-1" },
];

/** Long enough for a loaded machine, and what a hasty target waits for: for silence that never ends, so that nothing hangs on it. */
const PATIENT_MS = 30_000;
const HASTY_MS = 1_000;

/**
 * The id of a model, or of a target, that is a lane's own, or that of all when there is no lane: a router leaves alone for a while who
 * fails, so cells in which something fails find a target of which hardly anything bad is known.
 */
export function inLane(id: string, lane: number | undefined): string {
  return lane === undefined ? id : `${id}.${lane}`;
}

/** How a router of the table is made. */
export interface MatrixRouterOptions {
  /** For whose cells it has lanes. Default none. */
  readonly cells?: readonly Pick<Cell, "dialect" | "fault" | "lane">[];
  /** The router's time. Default the machine's. */
  readonly clock?: Clock;
}

/** A router with a provider behind each dialect, in this process: real HTTP on both sides, a real spool, a ledger at its end. */
export interface MatrixRouter {
  readonly harness: Harness;
  readonly ledger: Ledger;
  close(): Promise<void>;
}

/** Starts a router whose models are those that {@link DialectRow} tells of, all of them at one conformance provider. */
export async function startMatrixRouter(
  providerAddress: string,
  { cells = [], clock }: MatrixRouterOptions = {},
): Promise<MatrixRouter> {
  const directory = mkdtempSync(join(tmpdir(), "weir-matrix-"));
  const ledger = new Ledger();
  const accounting = await openAccounting({
    producer: { region: "eu", instance: "eu-1", boot: createBootId() },
    directory,
    limitBytes: 1 << 30,
    roads: ledger,
    log: createLog({ service: "router", level: "silent" }),
  });
  const harness = await startHarness({
    providers: [],
    snapshot: createSnapshot(providerAddress, cells),
    ...(clock !== undefined && { clock }),
    accounting,
    bodyLimitBytes: 32 << 20,
    bodyMemoryBytes: 512 << 20,
    credentials: new Map([["scripted", CREDENTIAL]]),
  });
  return {
    harness,
    ledger,
    close: async () => {
      await harness.close();
      await accounting.close(5_000);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function createSnapshot(address: string, cells: NonNullable<MatrixRouterOptions["cells"]>) {
  const providers: MessageInitShape<typeof SnapshotProviderSchema>[] = [];
  const targets: MessageInitShape<typeof SnapshotTargetSchema>[] = [];
  const models: MessageInitShape<typeof ModelSchema>[] = [];
  for (const { name, dialect, basePath, model: scripted = "scripted", apiVersion = "", cloudRegion = "" } of DIALECTS) {
    for (const [suffix, ms] of [
      ["", PATIENT_MS],
      ["-hasty", HASTY_MS],
    ] as const) {
      const id = `${name}${suffix}`;
      providers.push({
        id,
        dialect,
        baseUrl: `${address}${basePath}`,
        credential: "scripted",
        connectTimeout: toDuration(PATIENT_MS),
        firstTokenTimeout: toDuration(ms),
        idleTimeout: toDuration(ms),
        totalTimeout: toDuration(2 * PATIENT_MS),
        apiVersion,
        cloudRegion,
      });
      const add = (target: string, model: string) => {
        targets.push({ id: target, provider: id, model, prices: PRICES, maxOutputTokens: 4_096n });
        return { target, priority: 0, weight: 1 };
      };
      // Of the patient one, also where the first is hasty: what is to answer well must not time out on a loaded machine.
      if (suffix === "") add(`${name}/steady`, `${scripted}-steady`);
      const steady = { target: `${name}/steady`, priority: 1, weight: 1 };
      const alone = add(`${id}/scripted`, scripted);
      models.push({ id, routes: [alone] }, { id: `${id}-spare`, routes: [alone, steady] });
      const own = cells.filter(
        (cell) => cell.dialect.name === name && (cell.fault.isSilent === true) === (suffix !== ""),
      );
      for (const lane of new Set(own.map((cell) => cell.lane))) {
        if (lane === undefined) continue;
        models.push(
          { id: inLane(id, lane), routes: [add(inLane(`${id}/scripted`, lane), scripted)] },
          { id: inLane(`${id}-spare`, lane), routes: [add(inLane(`${id}/spared`, lane), scripted), steady] },
        );
      }
    }
  }
  return create(SnapshotSchema, {
    region: "eu",
    version: 1n,
    policyVersion: 1n,
    organisation: "acme",
    providers,
    targets,
    models,
  });
}

const PRICES = [
  { meter: Meter.INPUT_TOKENS, nanosPerMillion: 1_000_000_000n },
  { meter: Meter.OUTPUT_TOKENS, nanosPerMillion: 2_000_000_000n },
];

function toDuration(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}
