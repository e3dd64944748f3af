-- Up Migration

-- One row: which log this database holds, who may write it, and how far it has come.
create table log_state (
  single boolean primary key default true check (single),
  -- Origin line of its checkpoints; never changes.
  origin text not null,
  -- Rises whenever an instance takes the lead; a write under an older one is refused (fencing).
  epoch bigint not null default 0,
  -- Records that have a place: the next one gets this index.
  sequenced bigint not null default 0 check (sequenced >= 0),
  -- Records that are in the stored tree.
  integrated bigint not null default 0 check (integrated >= 0 and integrated <= sequenced)
);

-- The records, their bytes exactly as they came. Partitioned by place, so that old ranges can be detached one day; until then all
-- stands in the default partition.
create table record (
  log_index bigint not null check (log_index >= 0),
  record_id uuid not null,
  organisation text not null,
  record bytea not null,
  leaf_hash bytea not null check (octet_length(leaf_hash) = 32),
  sequenced_at timestamptz not null default now(),
  primary key (log_index)
) partition by range (log_index);
create table record_default partition of record default;
create index record_organisation on record (organisation, log_index);

-- Where each record stands. Apart from the records, so that an id stays unique for ever, whatever is detached; partitioned by the id,
-- which is a UUIDv7, so that the partition key is the whole primary key and uniqueness is global.
create table record_place (
  record_id uuid not null,
  log_index bigint not null,
  primary key (record_id)
) partition by range (record_id);
create table record_place_default partition of record_place default;

-- Hashes of complete subtrees: the leaves from position * 2^level up to (position + 1) * 2^level. Written once, never changed.
create table subtree (
  level smallint not null check (level between 0 and 60),
  position bigint not null check (position >= 0),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (level, position)
);

-- What was signed. Never changed, never deleted.
create table checkpoint (
  tree_size bigint primary key check (tree_size > 0),
  root_hash bytea not null check (octet_length(root_hash) = 32),
  note bytea not null,
  signed_at timestamptz not null
);

-- What came and can never be logged, as it came, with the reason. The digest makes a repeat change nothing.
create table parked (
  parked_id bigint generated always as identity primary key,
  digest bytea not null unique,
  region text,
  producer text,
  boot text,
  seq bigint,
  reason text not null,
  detail text not null,
  payload bytea not null,
  parked_at timestamptz not null default now()
);

-- How far each producer's facts are committed (services/shared/database/watermark.ts).
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
