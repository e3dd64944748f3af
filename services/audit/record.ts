/**
 * The life of a record: said on the bus → taken in and sequenced (committed, covered by the watermark) → integrated into the stored
 * tree → covered by a signed checkpoint. What follows, prove and verify, is asked for: `audit-service.ts`, `verification/`.
 */
import { setImmediate } from "node:timers/promises";
import type { Bus } from "../shared/bus/bus.ts";
import { type BusMessage, consume } from "../shared/bus/consume.ts";
import { ensureStream } from "../shared/bus/streams.ts";
import { createTurns } from "../shared/bus/turns.ts";
import { type Clock, pause } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { listMissing } from "../shared/database/watermark.ts";
import type { Health } from "../shared/mesh/health.ts";
import type { NoteSigner } from "../shared/note/note.ts";
import { Rest } from "../shared/rest.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import { readMessage, type Said } from "./intake.ts";
import { checkStoredLog, type LogIdentity, readLatestCheckpoint } from "./log/check.ts";
import { integrate } from "./log/integrate.ts";
import { sequence } from "./log/sequence.ts";
import { signCheckpoint } from "./log/sign-checkpoint.ts";
import type { Checkpoint } from "./merkle/checkpoint.ts";
import { type Leadership, tryToLead } from "./store/leadership.ts";
import { getLogState, type Lead, takeLead } from "./store/log-state.ts";
import { countParked } from "./store/parked.ts";

/** What keeping a log takes. */
export interface RecordContext {
  readonly pool: Pool;
  readonly bus: Bus;
  /** Id of the region whose records this log takes, or "control". */
  readonly region: string;
  readonly identity: LogIdentity;
  readonly signer: NoteSigner;
  /** Least time between two checkpoints, in milliseconds: about the longest that a sequenced record waits for its proof. */
  readonly checkpointIntervalMs: number;
  readonly clock: Clock;
  readonly health: Health;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Name of the consumer on the AUDIT stream, the same for all instances. */
const DURABLE = "audit";
/** Messages taken from the bus together; a message has at most 512 KiB of facts, and all in hand must soon be committed. */
const BATCH = 4;
/** While PostgreSQL commits one batch the next is taken apart. They get their places one after the other: the log's state is locked. */
const IN_FLIGHT = 2;
/** Records sequenced together: no more of them are in memory at once, however many messages came. */
const RECORDS_AT_ONCE = 1_000;
/** Pause before the next attempt to lead. */
const RETRY_MS = 1_000;
/** How often the stream is looked after while nothing happens to the connection. */
const STREAM_CHECK_MS = 30_000;
/** How often parked and missing records are counted. */
const WATCH_MS = 5_000;
/** A record that is missing for this long while later ones of its producer are there is an alarm. */
const MISSING_ALARM_MS = 60_000;

/**
 * Keeps the log until the signal fires; then finishes what is under way and resolves. Never throws: whatever is away, it tries again.
 * Of several instances on one database one works, the others wait to take over; all of them can answer.
 */
export async function keepRecords(context: RecordContext, signal: AbortSignal): Promise<void> {
  const { pool, identity, clock, health, log, metrics } = context;
  // For as long as this process lives: a database that is set back ends a lead, and the next one must not begin from what it says then.
  let known: Checkpoint | undefined;
  let trouble = "";
  while (!signal.aborted) {
    try {
      const leadership = await tryToLead(pool, { clock });
      const onCheckpoint = (checkpoint: Checkpoint | undefined): void => {
        known = checkpoint;
        metrics.weir_audit_checkpoint_size.set(Number(checkpoint?.size ?? 0n));
      };
      const onKeeping = (): void => {
        trouble = "";
        health.setReady("keeps the log");
      };
      if (leadership) await lead(context, leadership, known, { onKeeping, onCheckpoint }, signal);
      else {
        onCheckpoint(await readLatestCheckpoint(pool, identity, known));
        health.setReady("another instance keeps the log");
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      health.setNotReady(reason);
      // Once for each kind of trouble, not at each attempt.
      if (reason !== trouble) log.error({ error }, "Cannot keep the log; trying again");
      trouble = reason;
    }
    await pause(clock, RETRY_MS, signal);
  }
}

/** Who hears how a lead goes. */
interface LeadEvents {
  /** The stored log is the one that was signed, and records are taken in from now on. */
  readonly onKeeping: () => void;
  /** The last checkpoint that was found or signed; undefined before the first. */
  readonly onCheckpoint: (checkpoint: Checkpoint | undefined) => void;
}

/** Works as the one writer until the lead is lost, something fails, or the signal fires. */
async function lead(
  context: RecordContext,
  leadership: Leadership,
  known: Checkpoint | undefined,
  { onKeeping, onCheckpoint }: LeadEvents,
  signal: AbortSignal,
): Promise<void> {
  const { pool, identity, log } = context;
  const failed = new AbortController();
  const ending = AbortSignal.any([signal, leadership.lost, failed.signal]);
  try {
    const right = await takeLead(pool, identity.origin);
    // Nothing is written on top of a log that is not the one that was signed.
    const last = await checkStoredLog(pool, right, identity, known);
    onCheckpoint(last);
    log.info({ epoch: String(right.epoch), checkpoint: String(last?.size ?? 0n) }, "Keeping the log");
    onKeeping();
    const streamThere = Promise.withResolvers<void>();
    const stations = [
      keepStream(context, ending, streamThere.resolve),
      streamThere.promise.then(() => takeIn(context, right, ending)),
      keepTree(context, right, last, onCheckpoint, ending),
      watchIntake(context, ending),
    ].map((station) => station.finally(() => failed.abort()));
    await Promise.all(stations.map((station) => station.catch(() => {})));
    await Promise.all(stations);
  } finally {
    failed.abort();
    leadership.release();
  }
}

/** Intake and sequence: batches from the bus until `ending`; a batch is acknowledged when it is committed. */
async function takeIn(context: RecordContext, right: Lead, ending: AbortSignal): Promise<void> {
  const { bus, pool, region, log, metrics } = context;
  const inTurn = createTurns();
  const handle = async (messages: readonly BusMessage[], signal: AbortSignal): Promise<void> => {
    const groups = readTogether(messages, region);
    for (;;) {
      const { value: said } = await inTurn(() => groups.next());
      if (said === undefined) return;
      await take(said, signal);
    }
  };
  const take = async ({ records, unfit }: Said, signal: AbortSignal): Promise<void> => {
    const { added, repeated, parked } = await sequence(pool, right, records, unfit, signal);
    metrics.weir_audit_records_total.inc({ result: "integrated" }, added);
    metrics.weir_audit_records_total.inc({ result: "repeated" }, repeated);
    metrics.weir_audit_records_total.inc({ result: "parked" }, parked.length);
    if (parked.length > 0) {
      log.error(
        { parked: parked.length, reasons: [...new Set(parked)] },
        "Parked facts that can't be logged; an operator must look at them",
      );
    }
  };
  await consume(bus, { stream: "AUDIT", durable: DURABLE, batch: BATCH, inFlight: IN_FLIGHT, signal: ending, handle });
}

/** What messages hold, a thousand records or so at a time: small messages together, a large one by itself. */
async function* readTogether(messages: readonly BusMessage[], region: string): AsyncGenerator<Said, undefined> {
  let [records, unfit]: [Said["records"], Said["unfit"]] = [[], []];
  for (const message of messages) {
    // The batch in PostgreSQL's hands wants its next statement sent, and callers want their answers.
    await setImmediate();
    const said = readMessage(message, region);
    records = records.concat(said.records);
    unfit = unfit.concat(said.unfit);
    if (records.length + unfit.length < RECORDS_AT_ONCE) continue;
    yield { records, unfit };
    [records, unfit] = [[], []];
  }
  if (records.length + unfit.length > 0) yield { records, unfit };
  return undefined;
}

/** Integrate and checkpoint: once an interval, so that a busy log signs no more often than a quiet one. */
async function keepTree(
  context: RecordContext,
  right: Lead,
  last: Checkpoint | undefined,
  onCheckpoint: LeadEvents["onCheckpoint"],
  ending: AbortSignal,
): Promise<void> {
  const { pool, identity, signer, clock, metrics } = context;
  let published = last;
  while (!ending.aborted) {
    while (!ending.aborted && (await integrate(pool, right)) > 0n);
    published = (await signCheckpoint(pool, right, { identity, signer, clock }, published)) ?? published;
    onCheckpoint(published);
    metrics.weir_audit_tree_size.set(Number((await getLogState(pool)).integrated));
    await pause(clock, context.checkpointIntervalMs, ending);
  }
}

/** Measures what an operator must look at: what is parked, and what its producer has said without its being here. */
async function watchIntake({ pool, clock, log, metrics }: RecordContext, ending: AbortSignal): Promise<void> {
  let reported = "";
  while (!ending.aborted) {
    metrics.weir_audit_parked_records.set(await countParked(pool));
    const missing = await listMissing(pool, new Date(clock.nowMs() - MISSING_ALARM_MS));
    metrics.weir_audit_missing_records.set(
      missing.reduce((sum, { first, last }) => sum + Number(last - first + 1n), 0),
    );
    const ranges = missing.slice(0, 3).map(({ producer, boot, first, last }) => `${producer} ${boot} ${first}-${last}`);
    // Each new state once, not every few seconds.
    if (ranges.length > 0 && ranges.join() !== reported) log.error({ ranges }, "Records are missing");
    reported = ranges.join();
    await pause(clock, WATCH_MS, ending);
  }
}

/** Sees to it that producers have a stream to say records on, also after the server lost it; tells when it is there at first. */
async function keepStream(
  { bus, region, clock, log }: RecordContext,
  ending: AbortSignal,
  onThere: () => void,
): Promise<void> {
  // A consumer that is let go at the end sees for itself that it is over.
  ending.addEventListener("abort", onThere, { once: true });
  const rest = new Rest();
  bus.onChange(() => rest.wake(), ending);
  let troubled = false;
  while (!ending.aborted) {
    rest.beginRound();
    let pauseMs = STREAM_CHECK_MS;
    try {
      await ensureStream(bus, "AUDIT", region, { signal: ending });
      onThere();
      troubled = false;
    } catch (error) {
      if (ending.aborted) return;
      if (!troubled) log.warn({ error }, "Cannot set up the stream of records; trying again");
      troubled = true;
      pauseMs = RETRY_MS;
    }
    await rest.take(clock, pauseMs, ending);
  }
}
