-- Up Migration

-- Lists go by the id of a posting, which is that of its day and so of its partition: a page reads days, not the whole ledger. Nothing is
-- posted while this is built; usages wait in their streams and spools. `position` is no longer read, and stays for processes of before.
create index ledger_entry_by_call on ledger_entry (organisation, posting_id, number);
drop index ledger_entry_newest;

-- Down Migration
