-- Up Migration

-- Who published a version, as its record names them. Empty for what a build of before this migration writes or wrote.
alter table policy_version add column published_by text not null default '';

-- Down Migration
