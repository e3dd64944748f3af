-- Up Migration

-- How long routers themselves took for calls since they applied a version: calls by the upper bound of their bucket in microseconds, "Infinity" for
-- the last one. Empty for what a build of before this migration writes or wrote, and for routers that do not say.
alter table router_traffic
  add column overhead jsonb not null default '{}',
  add column marked_overhead jsonb not null default '{}';

-- Down Migration
