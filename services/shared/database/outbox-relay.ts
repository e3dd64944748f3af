import { type Clock, pause } from "../clock.ts";
import { Rest } from "../rest.ts";
import type { Log } from "../telemetry/log.ts";
import { toDatabaseError } from "./database-error.ts";
import type { Pool, PoolClient } from "./pool.ts";
import { query } from "./pool.ts";

/** A fact with its place in the producer's gapless row. */
export interface RelayedFact {
  readonly subject: string;
  readonly eventId: string;
  readonly payload: Uint8Array;
  /** From 1, contiguous within the lane. */
  readonly seq: bigint;
  /** Id that stands for this outbox until its database is set back; goes where a producer's boot goes. */
  readonly boot: string;
  /**
   * How often the lane was told again because its receiver's watermark stood still; 0 at first. Belongs into the message's id:
   * the bus drops an id that it has seen, and here it must not.
   */
  readonly resend: number;
}

/** Longest patience with a receiver whose watermark stands still. */
const RESEND_LIMIT_MS = 5 * 60_000;

/** What a relay needs of its owner. */
export interface OutboxRelayOptions {
  readonly pool: Pool;
  /** First word of the subjects that this relay serves: "audit", "policy". */
  readonly lane: string;
  /**
   * Tells facts, ascending by seq, at most {@link OutboxRelayOptions.batch}. Resolves when the bus has taken all; throws to
   * be called again later with the same facts. May be called twice with a fact: receivers know it by its id.
   */
  readonly publish: (facts: readonly RelayedFact[], signal: AbortSignal) => Promise<void>;
  /**
   * Asks the receiver up to which seq all is committed with it; facts at or below are deleted. Without it the lane carries
   * hints: a fact is deleted as soon as the bus has taken it.
   */
  readonly getWatermark?: (boot: string, signal: AbortSignal) => Promise<bigint>;
  /** Hears how many facts of the lane wait, at each look; counting ends at 10,000. */
  readonly onPending?: (pending: number) => void;
  readonly clock: Clock;
  readonly log: Log;
  /** Most facts told at once, from 1. Default 100. */
  readonly batch?: number;
  /** Pause between looks when nothing woke it. Default 1,000. */
  readonly intervalMs?: number;
  /**
   * How long a relay that says nothing to PostgreSQL, because it is frozen or cut off, keeps others from relaying, from 1 ms. Default 30,000:
   * well above `intervalMs`, and above what a slow bus and a slow receiver take for a batch, which would else cost it the lead.
   */
  readonly leaseMs?: number;
  /**
   * Facts that were told are told again when a receiver that answers has committed none of them for this long; doubled each time,
   * up to 5 minutes. Default 10,000.
   */
  readonly resendAfterMs?: number;
}

/**
 * Tells what stands in an outbox. Of several processes on one database one relays at a time (advisory lock); numbers are
 * given under that lock, so they have no gaps and no two facts share one.
 *
 * - *appended*: committed without seq. The process dies: the next relay numbers it.
 * - *numbered*: has its seq, may have been told. The process dies: it is told again, under the same seq.
 * - *committed*: at or below the receiver's watermark. Deleted.
 */
export class OutboxRelay {
  readonly #options: Required<Omit<OutboxRelayOptions, "getWatermark">> & Pick<OutboxRelayOptions, "getWatermark">;
  readonly #stopping = new AbortController();
  readonly #rest = new Rest();
  #running: Promise<void> | undefined;
  #isTroubled = false;
  #receiverAway = false;
  #watermark = 0n;
  #told = 0n;
  #resend = 0;
  #resendsInARow = 0;
  #toldAtMs = 0;

  constructor(options: OutboxRelayOptions) {
    this.#options = {
      batch: 100,
      intervalMs: 1_000,
      leaseMs: 30_000,
      resendAfterMs: 10_000,
      onPending: () => {},
      ...options,
    };
  }

  /** Starts relaying in the background; never throws. The database and the bus may be away and come back. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Looks now instead of at the next interval; call it after a commit that appended. */
  wake(): void {
    this.#rest.wake();
  }

  /** Stops and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log, lane, intervalMs } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#lead();
      } catch (error) {
        // Once an outage, not at each try.
        if (!signal.aborted && !this.#isTroubled) log.warn({ error, lane }, "Cannot relay the outbox; trying for ever");
        this.#isTroubled = true;
      }
      if (!signal.aborted) await pause(clock, intervalMs, signal);
    }
  }

  // The lock belongs to the session, so this connection is held for as long as this process leads; when it breaks, or says nothing for
  // the time of a lease, PostgreSQL frees the lock and another process leads.
  async #lead(): Promise<void> {
    const { pool, clock, lane, leaseMs, intervalMs } = this.#options;
    const client = await pool.connect().catch((error: unknown) => {
      throw toDatabaseError("relay the outbox", error);
    });
    let locked = false;
    try {
      locked = await tryLock(client, lane);
      if (locked) await query(client, "select set_config('idle_session_timeout', $1, false)", [String(leaseMs)]);
      while (locked && !this.#stopping.signal.aborted) {
        this.#rest.beginRound();
        const more = await this.#pass(client);
        if (this.#isTroubled) this.#options.log.info({ lane }, "Relaying the outbox again");
        this.#isTroubled = false;
        if (!more) await this.#rest.take(clock, intervalMs, this.#stopping.signal);
      }
    } finally {
      // A connection that may still hold the lock must not go back into the pool.
      client.release(locked);
    }
  }

  // One look: number, tell, forget. True when there is more to do at once.
  async #pass(client: PoolClient): Promise<boolean> {
    const { lane, batch, clock, log, getWatermark, publish } = this.#options;
    const { signal } = this.#stopping;
    const { boot, last: lastNumbered } = await number(client, lane);
    if (getWatermark !== undefined && (await hasNumbered(client, lane))) {
      const watermark = await this.#askWatermark(getWatermark, boot);
      if (watermark > lastNumbered) {
        log.error(
          { lane, boot },
          "The receiver has more than the outbox ever told: the database was set back; telling all as another",
        );
        await beginAnew(client, lane);
        this.#told = 0n;
        this.#watermark = 0n;
        return true;
      }
      if ((await forget(client, lane, watermark)) > 0) {
        this.#toldAtMs = clock.monotonicMs();
        this.#resendsInARow = 0;
      }
      // A receiver that is away may have all of it before it on the bus: telling it again would only fill the stream.
      if (this.#receiverAway) this.#toldAtMs = clock.monotonicMs();
      if (this.#told > watermark && clock.monotonicMs() - this.#toldAtMs >= this.#patienceMs()) {
        this.#told = watermark;
        this.#resend += 1;
        this.#resendsInARow += 1;
      }
    }
    const facts = (await nextFacts(client, lane, boot, this.#told, batch)).map((fact) => ({
      ...fact,
      resend: this.#resend,
    }));
    this.#options.onPending(await countPending(client, lane));
    const last = facts.at(-1);
    if (last === undefined) return false;
    this.#toldAtMs = clock.monotonicMs();
    await publish(facts, signal);
    this.#told = last.seq;
    if (getWatermark === undefined) await forget(client, lane, last.seq);
    return true;
  }

  #patienceMs(): number {
    return Math.min(RESEND_LIMIT_MS, this.#options.resendAfterMs * 2 ** Math.min(this.#resendsInARow, 10));
  }

  // A receiver that is away keeps facts in the outbox, but must not keep them from the bus.
  async #askWatermark(ask: (boot: string, signal: AbortSignal) => Promise<bigint>, boot: string): Promise<bigint> {
    try {
      this.#watermark = await ask(boot, this.#stopping.signal);
      this.#receiverAway = false;
    } catch (error) {
      const { log, lane } = this.#options;
      if (!this.#receiverAway) log.warn({ error, lane }, "The receiver of the outbox does not tell its watermark");
      this.#receiverAway = true;
    }
    return this.#watermark;
  }
}

async function tryLock(client: PoolClient, lane: string): Promise<boolean> {
  const rows = await query<{ locked: boolean }>(
    client,
    "select pg_try_advisory_lock(hashtextextended('weir.outbox.' || $1, 0)) as locked",
    [lane],
  );
  return rows[0]?.locked === true;
}

// Numbers what was committed since the last look, in the order of arrival. Returns the boot of the lane, and the last number given.
async function number(client: PoolClient, lane: string): Promise<{ boot: string; last: bigint }> {
  await query(client, "insert into outbox_lane (lane) values ($1) on conflict do nothing", [lane]);
  const rows = await query<{ boot: string; last: bigint }>(
    client,
    `with fresh as (
       select position, row_number() over (order by position) as place from outbox where lane = $1 and seq is null
     ), numbered as (
       update outbox o set seq = l.last_seq + fresh.place
         from fresh, outbox_lane l where o.position = fresh.position and l.lane = $1
       returning o.position
     )
     update outbox_lane set last_seq = last_seq + (select count(*) from numbered) where lane = $1 returning boot, last_seq as last`,
    [lane],
  );
  return rows[0]!;
}

// Numbers were given to other facts before, in what the database has forgotten: under the same boot the receiver would have these already.
async function beginAnew(client: PoolClient, lane: string): Promise<void> {
  await query(
    client,
    `with unnumbered as (update outbox set seq = null where lane = $1 and seq is not null)
     update outbox_lane set boot = gen_random_uuid()::text, last_seq = 0 where lane = $1`,
    [lane],
  );
}

async function hasNumbered(client: PoolClient, lane: string): Promise<boolean> {
  const rows = await query(client, "select 1 from outbox where lane = $1 and seq is not null limit 1", [lane]);
  return rows.length > 0;
}

async function nextFacts(
  client: PoolClient,
  lane: string,
  boot: string,
  after: bigint,
  batch: number,
): Promise<Omit<RelayedFact, "resend">[]> {
  const rows = await query<{ subject: string; event_id: string; payload: Buffer; seq: bigint }>(
    client,
    "select subject, event_id, payload, seq from outbox where lane = $1 and seq > $2 order by seq limit $3",
    [lane, after, batch],
  );
  return rows.map(({ subject, event_id, payload, seq }) => ({ subject, eventId: event_id, payload, seq, boot }));
}

async function countPending(client: PoolClient, lane: string): Promise<number> {
  const rows = await query<{ count: bigint }>(
    client,
    "select count(*) as count from (select 1 from outbox where lane = $1 limit 10000) as bounded",
    [lane],
  );
  return Number(rows[0]?.count ?? 0n);
}

async function forget(client: PoolClient, lane: string, watermark: bigint): Promise<number> {
  const rows = await query(client, "delete from outbox where lane = $1 and seq <= $2 returning seq", [lane, watermark]);
  return rows.length;
}
