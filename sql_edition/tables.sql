-- What this edition has beside the tables of sql/tables.sql.

ALTER TABLE session_guard.policy ADD COLUMN in_old_snapshot text NOT NULL DEFAULT 'answer'
    CHECK (in_old_snapshot OPERATOR(pg_catalog.=) ANY (ARRAY['answer', 'raise']));
COMMENT ON COLUMN session_guard.policy.in_old_snapshot IS 'in REPEATABLE READ and SERIALIZABLE, where what was disabled since the transaction began cannot be seen: answer, by what the transaction sees; raise, give no answer';

ALTER TABLE session_guard.pending
    ADD COLUMN id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    ADD COLUMN guard          text COLLATE pg_catalog."C" NOT NULL,
    ADD COLUMN user_id        text COLLATE pg_catalog."C",
    ADD COLUMN related        text,
    ADD COLUMN unless_past    timestamptz,
    ADD COLUMN ends           boolean,
    ADD COLUMN again          boolean NOT NULL DEFAULT false;
CREATE INDEX pending_of_transaction ON session_guard.pending (transaction_id, guard, user_id);
COMMENT ON TABLE session_guard.pending IS 'what transactions are to stamp when they commit: empty to all others';
COMMENT ON COLUMN session_guard.pending.transaction_id IS 'the transaction';
COMMENT ON COLUMN session_guard.pending.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.pending.user_id IS 'whom it stamps; NULL: all users of the guard';
COMMENT ON COLUMN session_guard.pending.related IS 'the watched table that names the user';
COMMENT ON COLUMN session_guard.pending.unless_past IS 'when the account was to expire: it is stamped if that has passed';
COMMENT ON COLUMN session_guard.pending.ends IS 'not NULL: sessions in session stores are to end, and whether a column is raised, too, and not only rows deleted';
COMMENT ON COLUMN session_guard.pending.again IS 'whether the epoch of the whole guard is to be raised again';
