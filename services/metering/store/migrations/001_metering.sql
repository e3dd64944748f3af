-- Up Migration

-- One row for each call, for ever: the primary key is what makes a usage count once, however often it is delivered.
-- UUIDv7 begins with the time, so that ranges of ids are days, and uniqueness across all days needs no second index.
create table usage (
  event_id uuid not null primary key,
  region text not null,
  producer text not null,
  boot text not null,
  seq bigint not null,
  organisation text not null,
  team text not null,
  app text not null,
  environment text not null,
  key text not null,
  run_id text not null,
  operation smallint not null,
  model text not null,
  outcome smallint not null,
  snapshot_version bigint not null,
  keyring_version bigint not null,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  cost_nanos bigint not null check (cost_nanos >= 0),
  -- What the router said; differs from cost_nanos only after an alarm.
  said_nanos bigint not null,
  mismatched boolean not null,
  posted_at timestamptz not null default now(),
  -- The event as it came (weir.event.v1.UsageRecorded): what everything else here can be made again from.
  fact bytea not null
) partition by range (event_id);
create table usage_default partition of usage default;
create index usage_organisation on usage (organisation, event_id);
create index usage_mismatched on usage (event_id) where mismatched;

create sequence ledger_position;
create table ledger_entry (
  posting_id uuid not null,
  number smallint not null,
  -- Order of posting, for lists.
  position bigint not null default nextval('ledger_position'),
  event_id uuid not null,
  organisation text not null,
  account text not null,
  amount_nanos bigint not null check (amount_nanos <> 0),
  posted_at timestamptz not null default now(),
  primary key (posting_id, number)
) partition by range (posting_id);
create table ledger_entry_default partition of ledger_entry default;
create index ledger_entry_newest on ledger_entry (organisation, position);
create index ledger_entry_event on ledger_entry (event_id);

-- No code can put half a posting into the ledger, or change what is in it.
create function check_ledger_balance() returns trigger language plpgsql as $$
begin
  if exists (select 1 from fresh group by posting_id having sum(amount_nanos) <> 0) then
    raise exception 'entries of a posting do not add up to zero' using errcode = 'check_violation', constraint = 'ledger_balance';
  end if;
  return null;
end $$;
create trigger ledger_balance after insert on ledger_entry
  referencing new table as fresh for each statement execute function check_ledger_balance();
create function refuse_ledger_change() returns trigger language plpgsql as $$
begin
  raise exception 'entries of the ledger are never changed' using errcode = 'check_violation', constraint = 'ledger_immutable';
end $$;
create trigger ledger_immutable before update or delete or truncate on ledger_entry
  for each statement execute function refuse_ledger_change();

-- Sums of usages by day and everything that spend is asked by; written in the transaction that writes the usages.
-- meter 0 counts attempts and calls, the others quantity and cost.
create table spend (
  organisation text not null,
  day date not null,
  team text not null,
  app text not null,
  environment text not null,
  key text not null,
  model text not null,
  provider text not null,
  region text not null,
  meter smallint not null,
  attempts bigint not null,
  calls bigint not null,
  quantity bigint not null,
  cost_nanos bigint not null,
  primary key (organisation, day, team, app, environment, key, model, provider, region, meter)
);

-- What could not be posted, as it came. Its digest makes it wait here once.
create table parked_fact (
  digest bytea not null primary key,
  kind text not null,
  detail text not null,
  region text not null,
  producer text,
  boot text,
  seq bigint,
  event_id text,
  fact bytea not null,
  parked_at timestamptz not null default now()
);
create index parked_fact_parked_at on parked_fact (parked_at);

-- As services/shared/database/watermark.ts has it.
create table producer_cursor (
  region text not null,
  producer text not null,
  boot text not null,
  highest bigint not null check (highest >= 0),
  updated_at timestamptz not null default now(),
  primary key (region, producer, boot)
);
create table producer_gap (
  region text not null,
  producer text not null,
  boot text not null,
  first bigint not null check (first >= 1),
  last bigint not null check (last >= first),
  since timestamptz not null default now(),
  primary key (region, producer, boot, first),
  foreign key (region, producer, boot) references producer_cursor on delete cascade
);

-- Down Migration
