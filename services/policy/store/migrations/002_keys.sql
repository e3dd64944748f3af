-- Up Migration

-- What keys are looked for by, copied from their grants. Every column may be absent: a build of before this migration writes rows
-- without them, which `fillKeyIndex` completes.
alter table virtual_key
  add column team text,
  add column app text,
  add column environment text,
  add column labels jsonb,
  add column expires_at timestamptz,
  add column disabled_at timestamptz,
  add column rotated_at timestamptz;

-- A row without a team is one that was not completed yet.
create index virtual_key_unfilled on virtual_key (position) where team is null;
create index virtual_key_team on virtual_key (organisation, team, position desc);
create index virtual_key_app on virtual_key (organisation, app, position desc);
create index virtual_key_environment on virtual_key (organisation, environment, position desc);
create index virtual_key_labels on virtual_key using gin (labels jsonb_path_ops);
create index virtual_key_living on virtual_key (organisation, position desc) where revoked_version is null;
create index virtual_key_revoked on virtual_key (organisation, position desc) where revoked_version is not null;
create index virtual_key_disabled on virtual_key (organisation, position desc) where disabled_at is not null;
create index virtual_key_expiring on virtual_key (organisation, expires_at) where expires_at is not null;

-- Changes that were asked for and done, for as long as a repeat must be known as one.
create table key_request (
  request_id uuid not null primary key,
  -- SHA-256 of the request, so that a repeat can be told from another request under the same id.
  digest bytea not null,
  done_at timestamptz not null
);
create index key_request_done on key_request (done_at);

-- Disabled tenants are few among many keys.
create index keyring_entry_tenant on keyring_entry (id collate "C") where left(id, 7) = 'tenant:';

-- Down Migration
