-- Up Migration

-- What all routers of a region run. The latest snapshot may be of a release that is still under way. Null until a first one is released.
alter table region add column released_version bigint check (released_version >= 1);
update region set released_version = snapshot_version;

-- How often a version has crashed the instance that reports it.
alter table instance_report add column crashes integer not null default 0;

-- The way of each version of the policy to the routers. `revision` rises with each step, so that of several instances of policy that see the
-- same next step one takes it.
create table release (
  release_id uuid not null primary key,
  policy_version bigint not null unique references policy_version,
  -- Version of the policy that comes back when it fails; 0 when there was none.
  base_policy_version bigint not null,
  -- weir.policy.v1.ReleaseState.
  state smallint not null,
  revision integer not null default 0,
  wave integer not null default 0,
  -- weir.policy.v1.Release with the waves, and weir.policy.v1.Gates, encoded.
  waves bytea not null,
  gates bytea not null,
  reasons text[] not null default '{}',
  rolled_back_by bigint not null default 0,
  created_at timestamptz not null default now(),
  entered_at timestamptz not null default now()
);
-- PENDING, ROLLING, BAKING, HALTED: one at a time.
create unique index release_under_way on release ((true)) where state in (1, 2, 3, 5);

-- What each region gets by a release. base_version is 0 where nothing ran before; open when every router of the region gets it.
create table release_region (
  release_id uuid not null references release,
  region text not null references region,
  base_version bigint not null,
  version bigint not null,
  is_open boolean not null,
  primary key (release_id, region)
);

-- The routers that a wave named.
create table release_router (
  release_id uuid not null references release,
  region text not null,
  instance text not null,
  wave integer not null,
  primary key (release_id, region, instance)
);

-- What routers did with calls since they applied a version; of each router the last two versions. The marks are what it was when the present
-- wave began.
create table router_traffic (
  region text not null,
  instance text not null,
  version bigint not null,
  boot text not null,
  calls bigint not null,
  failures bigint not null,
  denials bigint not null,
  marked_calls bigint not null default 0,
  marked_failures bigint not null default 0,
  marked_denials bigint not null default 0,
  snapshot_age_ms bigint,
  keyring_age_ms bigint,
  reported_at timestamptz not null,
  primary key (region, instance, version),
  foreign key (region, instance) references instance on delete cascade
);

-- Down Migration
