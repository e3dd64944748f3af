-- Up Migration

-- The credentials of providers. Nothing here opens: each is sealed for the key of its region, which this database and policy lack.
-- A credential that was deleted everywhere stays here for its version, so that the next one has a higher one.
create table credential (
  organisation text not null,
  name text not null,
  version bigint not null check (version >= 1),
  primary key (organisation, name)
);

-- What each region has of it: weir.policy.v1.SealedCredential, encoded. set_version is that of the region's set that brought it.
create table sealed_credential (
  region text not null,
  organisation text not null,
  name text not null,
  version bigint not null check (version >= 1),
  sealed bytea not null,
  set_version bigint not null,
  set_at timestamptz not null,
  primary key (region, organisation, name),
  foreign key (organisation, name) references credential
);
create index sealed_credential_name on sealed_credential (organisation, name);

-- The set that each region is to have: weir.policy.v1.CredentialSet, encoded, with its signed head. Regions need not be in a policy:
-- credentials may be set before the first one is published.
create table credential_set (
  region text not null primary key,
  version bigint not null check (version >= 1),
  content bytea not null,
  digest bytea not null,
  head bytea not null
);

-- The requests that changed a credential, so that a repeat can be told from another request under the same id.
create table credential_change (
  request_id uuid not null primary key,
  request_digest bytea not null,
  organisation text not null,
  name text not null,
  changed_at timestamptz not null
);

-- What each router said last of the credentials that it was sent.
create table credential_report (
  region text not null,
  instance text not null,
  boot text not null,
  set_version bigint not null,
  -- [{organisation, name, version, refusal}]
  held jsonb not null,
  reported_at timestamptz not null,
  primary key (region, instance),
  foreign key (region, instance) references instance on delete cascade
);

-- Down Migration
