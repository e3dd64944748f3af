import { type Clock, pause } from "../../shared/clock.ts";
import { Rest } from "../../shared/rest.ts";
import { backOffMs } from "../../shared/snapshot/back-off.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { BATCH_FACTS, Batch } from "./batch.ts";
import { FactReader } from "./fact-reader.ts";
import type { ProducerName } from "./producer.ts";
import type { FactKind, SegmentList } from "./segment-list.ts";

/** One life's facts, to be brought to their owner. */
export interface FactSource {
  readonly producer: ProducerName;
  readonly list: SegmentList;
  /** Whether its facts may have been sent before this process began. */
  readonly isLeftover: boolean;
  /** Notes that the owner has everything up to a seq, and lets go of it. */
  pass(kind: FactKind, seq: number): void;
}

/** How facts leave and how their owner is asked. */
export interface ShipOptions {
  readonly kind: FactKind;
  /** This life and the earlier ones, as they are now. */
  readonly sources: () => readonly FactSource[];
  /**
   * Brings a batch onto the bus and waits until the bus has it: then the payload's memory is used again. `messageId` is the same
   * for the same try.
   */
  readonly publish: (
    producer: ProducerName,
    payload: Uint8Array,
    messageId: string,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Asks the owner up to which seq it has everything of a life. */
  readonly getWatermark: (producer: ProducerName, signal: AbortSignal) => Promise<bigint>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Facts that come within it travel together. */
const GATHER_MS = 50;
/** How often the owner is asked while it lacks something. */
const ASK_EVERY_MS = 1_000;
/** An owner that answers and has not come further for so long gets everything again; doubled each time. */
const RESEND_AFTER_MS = 10_000;
const RESEND_LIMIT_MS = 5 * 60_000;
/** Longest pause while the bus does not take anything. */
const PAUSE_LIMIT_MS = 5_000;
/** At the end the owner is asked so often, so many milliseconds apart. */
const LAST_ASKS = 20;
const LAST_ASK_MS = 100;

/**
 * Ships the facts of one kind: reads them from the spool, publishes them, and asks their owner how far
 * it is, since an acknowledgement by the bus is not durability. Sends again what did not arrive. What does not get through
 * waits on disk.
 */
export class Shipper {
  readonly #options: ShipOptions;
  readonly #states = new WeakMap<FactSource, ShippingState>();
  #batch = new Batch();
  readonly #rest = new Rest();
  #failures = { publish: 0, ask: 0 };

  constructor(options: ShipOptions) {
    this.#options = options;
  }

  /** Says that there is something to ship. It is called for each call, and costs next to nothing. */
  wake(): void {
    this.#rest.wake();
  }

  /** Ships until the signal fires; resolves then and never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#rest.beginRound();
      const idleMs = await this.#round(signal);
      // No sooner than that while the bus takes nothing, whatever comes.
      if (this.#failures.publish > 0) await pause(clock, idleMs, signal);
      else await this.#rest.take(clock, idleMs, signal);
      if (!signal.aborted) await pause(clock, GATHER_MS, signal);
    }
  }

  /**
   * Ships what is left, once, after `run` has ended, and asks for a moment whether it has arrived, so that mostly nothing is
   * left for the next start. Gives up when the signal fires or a road is closed.
   */
  async finish(signal: AbortSignal): Promise<void> {
    const { kind, sources, clock } = this.#options;
    for (let asked = 0; asked < LAST_ASKS && !signal.aborted; asked++) {
      for (const source of sources()) {
        const state = this.#stateOf(source);
        if (!(await this.#publishAll(source, state, 1, signal))) return;
        if (source.list.last[kind] > source.list.watermark[kind]) await this.#ask(source, state, signal);
        if (this.#failures.ask > 0) return;
      }
      if (sources().every(({ list }) => list.last[kind] <= list.watermark[kind])) return;
      await pause(clock, LAST_ASK_MS, signal);
    }
  }

  /** Ships what there is and asks who is due. Returns how long nothing need be done unless facts come. */
  async #round(signal: AbortSignal): Promise<number> {
    let idleMs = ASK_EVERY_MS;
    for (const source of this.#options.sources()) {
      if (signal.aborted) break;
      const state = this.#stateOf(source);
      // An earlier life may have arrived long ago: ask before sending it all again.
      if (source.isLeftover && !state.asked) await this.#ask(source, state, signal);
      const { position } = state.reader;
      const isShipped = await this.#publishAll(source, state, BATCH_FACTS, signal);
      // What is left for the next round, unless it can't be read: no hurry mends that.
      if (isShipped && state.reader.waiting > 0 && state.reader.position > position) this.#rest.wake();
      if (!isShipped) idleMs = Math.min(PAUSE_LIMIT_MS, backOffMs(this.#failures.publish));
      if (this.#isDue(source, state)) await this.#ask(source, state, signal);
    }
    return idleMs;
  }

  /**
   * Publishes what there is, and goes on while at least `enough` facts wait: fewer come with the next round, or a busy router
   * would send each few that came while it sent the last few. False when the bus did not take something.
   */
  async #publishAll(source: FactSource, state: ShippingState, enough: number, signal: AbortSignal): Promise<boolean> {
    const { reader } = state;
    try {
      do {
        if (signal.aborted) return true;
        if (!(await this.#publishNext(source, state, signal))) return signal.aborted;
      } while (reader.waiting >= enough && this.#batch.count > 0);
      return true;
    } finally {
      await reader.close();
    }
  }

  /** Publishes one batch, if there is anything to read. False when the bus did not take it. */
  async #publishNext(source: FactSource, state: ShippingState, signal: AbortSignal): Promise<boolean> {
    const { kind, publish, clock, log } = this.#options;
    const { region, instance, boot } = source.producer;
    const { reader } = state;
    const batch = this.#batch;
    const from = reader.position;
    batch.clear();
    try {
      await reader.fill(batch);
      if (batch.count === 0) return true;
      if (from - 1 === source.list.watermark[kind]) state.movedAtMs = clock.monotonicMs();
      // The server drops what it has seen within minutes; what is sent again on purpose must get past that.
      const again = state.resends === 0 ? "" : `.${state.resends}`;
      const messageId = `${region}.${instance}.${boot}.${batch.firstSeq}-${batch.lastSeq}${again}`;
      await publish(source.producer, batch.payload, messageId, signal);
      if (this.#failures.publish > 0) log.info({ kind }, "Facts are shipped again");
      this.#failures.publish = 0;
      return true;
    } catch (error) {
      // The client of the bus may still hold the payload, to send it when it is connected again.
      this.#batch = new Batch();
      reader.rewind(from);
      if (signal.aborted) return false;
      this.#failures.publish += 1;
      if (this.#failures.publish === 1) log.warn({ kind, error }, "Cannot ship facts; they wait in the spool");
      return false;
    }
  }

  #isDue(source: FactSource, state: ShippingState): boolean {
    const { kind, clock } = this.#options;
    const lacks = source.list.last[kind] > source.list.watermark[kind];
    return lacks && clock.monotonicMs() - state.askedAtMs >= ASK_EVERY_MS;
  }

  async #ask(source: FactSource, state: ShippingState, signal: AbortSignal): Promise<void> {
    const { kind, getWatermark, clock, log } = this.#options;
    state.askedAtMs = clock.monotonicMs();
    const before = source.list.watermark[kind];
    try {
      const seq = Number(await getWatermark(source.producer, signal));
      this.#failures.ask = 0;
      state.asked = true;
      source.pass(kind, seq);
    } catch (error) {
      if (signal.aborted) return;
      this.#failures.ask += 1;
      if (this.#failures.ask === 1) log.warn({ kind, error }, "Cannot ask for a watermark; facts stay in the spool");
      // Nothing is known, so nothing is sent again: the owner may be away with all of it on the bus.
      state.movedAtMs = clock.monotonicMs();
      return;
    }
    const now = source.list.watermark[kind];
    if (now > before) {
      state.movedAtMs = clock.monotonicMs();
      state.resends = 0;
    }
    if (state.reader.position <= now) state.reader.rewind(now + 1);
    const wasSent = state.reader.position > now + 1;
    const patienceMs = Math.min(RESEND_LIMIT_MS, RESEND_AFTER_MS * 2 ** Math.min(state.resends, 10));
    if (wasSent && clock.monotonicMs() - state.movedAtMs >= patienceMs) {
      state.resends += 1;
      state.movedAtMs = clock.monotonicMs();
      state.reader.rewind(now + 1);
      log.warn(
        { kind, boot: source.producer.boot, from: now + 1 },
        "A watermark stands still; sending its facts again",
      );
      this.wake();
    }
  }

  #stateOf(source: FactSource): ShippingState {
    let state = this.#states.get(source);
    if (state === undefined) {
      const reader = new FactReader(source.list, this.#options.kind);
      state = { reader, asked: false, askedAtMs: 0, movedAtMs: 0, resends: 0 };
      this.#states.set(source, state);
    }
    return state;
  }
}

interface ShippingState {
  readonly reader: FactReader;
  /** Whether the owner has answered for this life. */
  asked: boolean;
  askedAtMs: number;
  /** When the watermark moved last, or there was first something for it to move over. */
  movedAtMs: number;
  /** How often everything was sent again since it moved. */
  resends: number;
}
