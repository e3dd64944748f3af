import type { PoolClient } from "./pool.ts";
import { query } from "./pool.ts";

/** A fact to be told to others once the transaction that writes it has committed. */
export interface OutboxFact {
  /** Subject on the bus, such as `audit.control.policy`. Its first word is the lane that a relay serves. */
  readonly subject: string;
  /** UUID of the fact. Appending the same one again changes nothing. */
  readonly eventId: string;
  /** The fact, encoded by its owner. */
  readonly payload: Uint8Array;
}

/**
 * The two tables; an owner copies this text into its first migration. A fact has no seq until the relay gives it one: a
 * sequence drawn inside the writing transaction would show gaps (rollbacks) and arrive out of order (slow commits).
 * The numbers outlive the process, so the whole outbox is one life of one producer; `boot` changes only when the database was set back.
 */
export const outboxMigration = `
create table outbox (
  position bigint generated always as identity primary key,
  lane text not null generated always as (split_part(subject, '.', 1)) stored,
  subject text not null,
  event_id uuid not null unique,
  payload bytea not null,
  seq bigint,
  appended_at timestamptz not null default now()
);
create unique index outbox_lane_seq on outbox (lane, seq) where seq is not null;
create index outbox_unnumbered on outbox (lane, position) where seq is null;
create table outbox_lane (
  lane text primary key,
  boot text not null default gen_random_uuid()::text,
  last_seq bigint not null default 0 check (last_seq >= 0)
);
`;

/**
 * Writes facts into the outbox, in their order. Call it inside the transaction that makes them true: both are committed, or neither.
 * An {@link OutboxRelay} tells them later. Ids repeat-safe only while the fact waits: a writer decides itself, by its own
 * unique keys, whether the act happened before.
 */
export async function appendToOutbox(client: PoolClient, ...facts: readonly OutboxFact[]): Promise<void> {
  await query(
    client,
    `insert into outbox (subject, event_id, payload)
     select subject, event_id, payload from unnest($1::text[], $2::uuid[], $3::bytea[]) with ordinality
       as fact (subject, event_id, payload, place) order by place
     on conflict (event_id) do nothing`,
    [
      facts.map(({ subject }) => subject),
      facts.map(({ eventId }) => eventId),
      facts.map(({ payload }) => Buffer.from(payload)),
    ],
  );
}
