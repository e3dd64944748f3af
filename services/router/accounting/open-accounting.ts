import { mkdirSync } from "node:fs";
import { type Clock, pause, systemClock } from "../../shared/clock.ts";
import { createEventId } from "../../shared/ids.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import type { Denial } from "../admission/admission.ts";
import type { Accounting, CallListener, OpenCall } from "./accounting.ts";
import { endUsage, openFacts } from "./facts-frame.ts";
import { type Leftover, markRecovered, readLeftovers, removeLeftover } from "./leftover.ts";
import type { Outcome } from "./outcome.ts";
import { encodeProducer, type ProducerName } from "./producer.ts";
import { recoverCalls } from "./recover.ts";
import { encodeRefusalRecord } from "./refusal-record.ts";
import { RefusalCounts } from "./refusals.ts";
import type { Roads } from "./roads.ts";
import { FACT_KINDS } from "./segment-list.ts";
import { type FactSource, Shipper } from "./ship.ts";
import { Spool } from "./spool.ts";
import { type CallSpool, SpooledCall } from "./spooled-call.ts";
import type { StartedCall } from "./started-call.ts";
import type { WireWriter } from "./wire-writer.ts";

/** What accounting is made of. */
export interface AccountingOptions {
  readonly producer: ProducerName;
  /** Directory of the spool, of this router alone: `WEIR_STATE/spool`. */
  readonly directory: string;
  /** Bytes that the spool may have on disk. */
  readonly limitBytes: number;
  readonly roads: Roads;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Default the machine's. */
  readonly clock?: Clock;
  /** As in `SpoolOptions`. */
  readonly segmentBytes?: number;
}

const REFUSAL_BYTES = 1024;
const TICK_MS = 1_000;
const SLOW_WRITE_MS = 100;

/**
 * Opens the spool: settles what dead predecessors left open, and begins to ship. Throws UNAVAILABLE when another process still
 * uses the directory, and what the file system throws.
 */
export async function openAccounting(options: AccountingOptions): Promise<Accounting> {
  const { directory, log, clock = systemClock } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const leftovers = await readLeftovers(directory, log);
  const accounting = new SpooledAccounting(options, clock, leftovers);
  const count = recoverCalls(leftovers, (...left) => accounting.settleLeft(...left), clock.nowMs(), log);
  if (count > 0) log.warn({ count }, "Settled calls that a dead router had begun");
  accounting.start();
  return accounting;
}

class SpooledAccounting implements Accounting {
  readonly #options: AccountingOptions;
  readonly #clock: Clock;
  readonly #spool: Spool;
  readonly #callSpool: CallSpool;
  readonly #refusals = new RefusalCounts();
  readonly #shippers: readonly Shipper[];
  readonly #stopping = new AbortController();
  readonly #own: FactSource;
  #leftovers: FactSource[];
  /** Earlier lives whose calls are settled, but perhaps not on disk: till then nothing of these may go. */
  #unmarked: readonly Leftover[];
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: AccountingOptions, clock: Clock, leftovers: readonly Leftover[]) {
    this.#options = options;
    this.#clock = clock;
    const { directory, producer, limitBytes, segmentBytes, roads, log, metrics } = options;
    this.#leftovers = leftovers.map((leftover) => this.#toSource(leftover));
    this.#unmarked = leftovers;
    this.#spool = new Spool({
      root: directory,
      producer,
      limitBytes,
      otherBytes: () => this.#leftovers.reduce((sum, { list }) => sum + list.bytes, 0),
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      onWritten: (durationMs) => {
        metrics?.weir_router_spool_write_seconds.observe(durationMs / 1000);
        // It holds up every call of this process.
        if (durationMs > SLOW_WRITE_MS) log.warn({ durationMs }, "A write into the spool was slow");
      },
      onFailing: (error) =>
        log.error({ error }, "The disk refuses the spool; outcomes wait in memory, calls are refused"),
    });
    this.#callSpool = {
      spool: this.#spool,
      producer: encodeProducer(producer),
      onFacts: () => this.#wake(),
    };
    this.#own = {
      producer,
      list: this.#spool.list,
      isLeftover: false,
      pass: (kind, seq) => this.#spool.pass(kind, seq),
    };
    this.#shippers = FACT_KINDS.map(
      (kind) =>
        new Shipper({
          kind,
          sources: () => [...this.#leftovers, this.#own],
          publish: (...batch) => roads.publish(kind, ...batch),
          getWatermark: (...asked) => roads.getWatermark(kind, ...asked),
          clock,
          log,
        }),
    );
  }

  /** Begins to ship. */
  start(): void {
    this.#spool.flush();
    if (this.#spool.retry()) this.#markLeftovers();
    const { metrics } = this.#options;
    metrics?.onPage(() => this.#measure(metrics));
    this.#running = Promise.all([...this.#shippers.map((shipper) => shipper.run(this.#stopping.signal)), this.#tick()]);
  }

  begin(started: StartedCall, listener: CallListener): OpenCall {
    const call = new SpooledCall(started, this.#callSpool, listener);
    call.begin();
    return call;
  }

  /** Writes what a call came to that a dead router has begun. */
  settleLeft(started: StartedCall, outcome: Outcome): void {
    new SpooledCall(started, this.#callSpool).settle(outcome);
  }

  refused(denial: Denial, nowMs: number): void {
    const { caller, reason, facts } = denial;
    if (caller !== undefined) this.#refusals.add(caller, reason, nowMs, reason === "RULE_DENIED" ? facts.rule : "");
  }

  async close(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#writeRefusals(Number.POSITIVE_INFINITY);
    this.#spool.flush();
    const deadline = new AbortController();
    const finished = new AbortController();
    const timer = this.#clock.sleep(deadlineMs, finished.signal).then(
      () => deadline.abort(),
      () => {},
    );
    await Promise.all(this.#shippers.map((shipper) => shipper.finish(deadline.signal)));
    finished.abort();
    await timer;
    const bytes = [...this.#leftovers, this.#own].reduce(
      (sum, { list }) => sum + (list.isAllPassed ? 0 : list.bytes),
      0,
    );
    if (bytes > 0) this.#options.log.info({ bytes }, "Facts stay in the spool for the next start");
    this.#spool.close();
  }

  // Once a second: what the disk refused, and the refusals whose minute is over.
  async #tick(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await pause(this.#clock, TICK_MS, signal);
      if (!this.#spool.retry()) continue;
      this.#markLeftovers();
      this.#writeRefusals(this.#clock.nowMs());
    }
  }

  /** Lets earlier lives go: what they began is settled on disk. */
  #markLeftovers(): void {
    if (this.#unmarked.length === 0) return;
    for (const leftover of this.#unmarked) markRecovered(leftover);
    this.#unmarked = [];
    for (const source of this.#leftovers) this.#removeIfDone(source);
  }

  #writeRefusals(nowMs: number): void {
    // A full spool waits with counts, which are bounded, so that they take no room from calls.
    while (this.#spool.hasRoom(REFUSAL_BYTES)) {
      const refusals = this.#refusals.takeDue(nowMs);
      if (refusals === undefined) break;
      const eventId = createEventId(this.#clock.nowMs());
      this.#spool.record({
        writeFacts: (writer: WireWriter, usageSeq, recordSeq) => {
          openFacts(writer, eventId, usageSeq, recordSeq);
          endUsage(writer);
          writer.raw(encodeRefusalRecord(eventId, refusals, this.#options.producer, recordSeq));
        },
        onTaken: () => this.#wake(),
      });
    }
  }

  #wake(): void {
    for (const shipper of this.#shippers) shipper.wake();
  }

  #measure(metrics: Metrics): void {
    const lists = [...this.#leftovers, this.#own].map(({ list }) => list);
    metrics.weir_router_spool_bytes.set(lists.reduce((sum, { bytes }) => sum + bytes, 0));
    metrics.weir_router_chats_open.set(this.#spool.openCalls);
    for (const kind of FACT_KINDS) {
      const facts = lists.reduce((sum, { last, watermark }) => sum + last[kind] - watermark[kind], 0);
      metrics.weir_router_spool_facts.set({ kind }, facts);
    }
  }

  #toSource(leftover: Leftover): FactSource {
    const source: FactSource = {
      producer: leftover.producer,
      list: leftover.list,
      isLeftover: true,
      pass: (kind, seq) => {
        leftover.list.pass(kind, seq);
        this.#removeIfDone(source);
      },
    };
    return source;
  }

  #removeIfDone(source: FactSource): void {
    if (this.#unmarked.length > 0 || !source.list.isAllPassed || !this.#leftovers.includes(source)) return;
    this.#leftovers = this.#leftovers.filter((other) => other !== source);
    removeLeftover(source);
  }
}
