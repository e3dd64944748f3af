-- Up Migration

-- A request id belongs to whoever asks with it: another operator's is another request, so that no answer tells which ids others have used.
-- What a build of before this migration writes or wrote names nobody, and is a repeat for everybody.
alter table virtual_key add column requested_by text not null default '';
alter table virtual_key drop constraint virtual_key_request_id_key, add unique (request_id, requested_by);

alter table key_request add column requested_by text not null default '';
alter table key_request drop constraint key_request_pkey, add primary key (request_id, requested_by);

alter table credential_change add column requested_by text not null default '';
alter table credential_change drop constraint credential_change_pkey, add primary key (request_id, requested_by);

-- Who published a version is known already.
alter table policy_version drop constraint policy_version_request_id_key, add unique (request_id, published_by);

-- Down Migration
