-- Up Migration

-- The policy, version by version, as it was published. Nothing of it ever changes.
create table policy_version (
  version bigint not null primary key check (version >= 1),
  organisation text not null,
  -- weir.policy.v1.Policy, encoded; digest is SHA-256 of it.
  content bytea not null,
  digest bytea not null,
  -- Version whose content it repeats, when it is a rollback; else 0.
  content_of bigint not null default 0,
  comment text not null,
  request_id uuid not null unique,
  published_at timestamptz not null
);

-- Every region that some version named. A region that leaves the policy stays: its routers must hear of it, and of revoked keys.
create table region (
  region text not null primary key,
  snapshot_version bigint not null check (snapshot_version >= 1)
);

-- What each region got by a version: the bytes that travel, with their signed head.
create table snapshot (
  region text not null references region,
  version bigint not null check (version >= 1),
  policy_version bigint not null references policy_version,
  content bytea not null,
  digest bytea not null,
  head bytea not null,
  primary key (region, version)
);
create index snapshot_policy_version on snapshot (policy_version);

-- The versions of the keyring. All regions honour the same keys, so a version and its digest are the same in each; the signed
-- heads differ, since a head names its region.
create table keyring (
  version bigint not null primary key check (version >= 1),
  digest bytea not null,
  created_at timestamptz not null
);
create table keyring_head (
  region text not null references region,
  version bigint not null references keyring,
  head bytea not null,
  primary key (region, version)
);
-- The keyring as it is now, each entry with the version that changed it last. A null grant is an entry that is gone.
create table keyring_entry (
  id text not null primary key,
  grant_bytes bytea,
  version bigint not null references keyring
);
create index keyring_entry_version on keyring_entry (version);

-- What is known of a key beside its grant. Its secret is not.
create table virtual_key (
  key_id text not null primary key,
  position bigint not null generated always as identity unique,
  organisation text not null,
  display_name text not null,
  request_id uuid not null unique,
  -- SHA-256 of the request that made it, so that a repeat can be told from another request under the same id.
  request_digest bytea not null,
  created_at timestamptz not null,
  revoked_version bigint references keyring
);
create index virtual_key_newest on virtual_key (organisation, position desc);

-- What routers said of themselves. watched_by names the life of the policy instance that it watches, watched_at when that was last so.
create table instance (
  region text not null,
  instance text not null,
  boot text not null,
  build text not null default '',
  watched_by text,
  watched_at timestamptz,
  primary key (region, instance)
);
create table instance_report (
  region text not null,
  instance text not null,
  -- weir.policy.v1.SnapshotKind and SnapshotPhase.
  kind smallint not null,
  boot text not null,
  version bigint not null,
  digest bytea not null,
  phase smallint not null,
  reasons text[] not null,
  running_version bigint not null,
  reported_at timestamptz not null,
  primary key (region, instance, kind),
  foreign key (region, instance) references instance on delete cascade
);

-- As services/shared/database/outbox.ts has it.
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

-- Down Migration
