import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type ReportSnapshotRequestSchema,
  SnapshotKind,
  SnapshotPhase,
  type SnapshotService,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type Clock, pause } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import { backOffMs } from "./back-off.ts";
import type { HeadKind } from "./head.ts";

/** Who reports. */
export interface InstanceName {
  /** Id of the region. */
  readonly region: string;
  /** Name of the instance, the same after a restart, such as "eu-1". */
  readonly instance: string;
  /** Id of its present life. */
  readonly boot: string;
  /** Version of the program. */
  readonly build: string;
}

/** How far the instance has come with a version. */
export interface SnapshotReport {
  readonly kind: HeadKind;
  readonly version: bigint;
  /** As computed; empty when it could not be. */
  readonly digest: Uint8Array;
  readonly phase: SnapshotPhase;
  readonly reasons: readonly string[];
  /** What is still run. */
  readonly runningVersion: bigint;
}

const TIMEOUT_MS = 5_000;
/** Enough for each phase of both kinds; what is older tells nothing more. */
const QUEUE_LIMIT = 16;
const REASON_BYTES_LIMIT = 1024;

/** Tells policy how far this instance has come, in order, again and again until it was heard. */
export class SnapshotReporter {
  readonly #client: Client<typeof SnapshotService>;
  readonly #name: InstanceName;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #countCrashes: (head: Pick<SnapshotReport, "version" | "digest">) => number;
  readonly #latest = new Map<HeadKind, SnapshotReport>();
  #queue: SnapshotReport[] = [];
  #sending: Promise<void> | undefined;

  constructor(options: {
    readonly client: Client<typeof SnapshotService>;
    readonly name: InstanceName;
    readonly clock: Clock;
    readonly log: Log;
    readonly signal: AbortSignal;
    /** How often a snapshot has crashed this process. Default: none has. */
    readonly countCrashes?: (head: Pick<SnapshotReport, "version" | "digest">) => number;
  }) {
    this.#client = options.client;
    this.#name = options.name;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#signal = options.signal;
    this.#countCrashes = options.countCrashes ?? (() => 0);
  }

  /** Queues a report and returns at once. While policy is away only the newest are kept. */
  report(report: SnapshotReport): void {
    this.#latest.set(report.kind, report);
    this.#queue.push(report);
    if (this.#queue.length > QUEUE_LIMIT) this.#queue.shift();
    this.#start();
  }

  /** Says again where this instance is: after a connection was lost, its reports may have been lost too. */
  repeat(): void {
    for (const report of this.#latest.values()) if (!this.#queue.includes(report)) this.#queue.push(report);
    this.#start();
  }

  #start(): void {
    if (this.#signal.aborted || this.#queue.length === 0) return;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
      // One may have been queued after the loop had looked for the last time.
      this.#start();
    });
  }

  async #send(): Promise<void> {
    let failures = 0;
    while (!this.#signal.aborted) {
      const [report] = this.#queue;
      if (report === undefined) return;
      try {
        await this.#client.reportSnapshot(this.#toRequest(report), { timeoutMs: TIMEOUT_MS, signal: this.#signal });
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted) return;
        failures += 1;
        if (failures === 1) this.#log.warn({ error }, "Cannot report a snapshot; trying again");
        await pause(this.#clock, backOffMs(failures), this.#signal);
        // A report that is refused for ever must not hold up the next.
        if (failures < 5) continue;
      }
      this.#queue = this.#queue.filter((queued) => queued !== report);
    }
  }

  #toRequest(report: SnapshotReport): MessageInitShape<typeof ReportSnapshotRequestSchema> {
    return {
      ...this.#name,
      kind: report.kind === "snapshot" ? SnapshotKind.SNAPSHOT : SnapshotKind.KEYRING,
      version: report.version,
      digest: report.digest,
      phase: report.phase,
      reasons: report.phase === SnapshotPhase.REFUSED ? report.reasons.slice(0, 16).map(cut) : [],
      runningVersion: report.runningVersion,
      crashes: report.kind === "snapshot" ? this.#countCrashes(report) : 0,
    };
  }
}

function cut(text: string): string {
  return Buffer.byteLength(text) <= REASON_BYTES_LIMIT ? text : `${text.slice(0, REASON_BYTES_LIMIT / 4)}…`;
}
