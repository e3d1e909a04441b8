CREATE SCHEMA session_guard;
COMMENT ON SCHEMA session_guard IS
    'administration and records of pg_session_guard; the functions that apps call are in the extension''s own schema';

-- The library reads the columns of these tables by their numbers, and writes rows as a heap has them, whatever
-- default_table_access_method says. Nothing that is dumped depends on an OID,
-- so that a dump restores row by row, into another database too.

CREATE TABLE session_guard.guard (
    name            text COLLATE pg_catalog."C" NOT NULL PRIMARY KEY,
    schema_name     name        NOT NULL,
    table_name      name        NOT NULL,
    table_owner     name        NOT NULL,
    id_column       name        NOT NULL,
    active_column   name        NOT NULL,
    active_when     text        NOT NULL DEFAULT 'true',
    revoke_on       name[]      NOT NULL DEFAULT '{}',
    max_session_age interval,
    is_default      boolean     NOT NULL DEFAULT false,
    attached_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    detached_at     timestamptz
) USING heap;
COMMENT ON TABLE session_guard.guard IS 'the guarded users tables, as last given to session_guard.attach';
COMMENT ON COLUMN session_guard.guard.name IS 'the guard''s name, which never changes: the qualified name that the table had when it was first attached';
COMMENT ON COLUMN session_guard.guard.schema_name IS 'the table''s schema when it was last attached or reconciled';
COMMENT ON COLUMN session_guard.guard.table_name IS 'the table''s name when it was last attached or reconciled: a table made again under this name takes the guard up when its owner attaches it';
COMMENT ON COLUMN session_guard.guard.table_owner IS 'the table''s owner when it was last attached or reconciled';
COMMENT ON COLUMN session_guard.guard.id_column IS 'the column that tells users apart';
COMMENT ON COLUMN session_guard.guard.active_column IS 'the column that says whether an account is active';
COMMENT ON COLUMN session_guard.guard.active_when IS 'how that column is read: an account is active while it is true, false, null, past (a time that is not ahead of the clock), future (a time ahead of it), or one of a list of values';
COMMENT ON COLUMN session_guard.guard.revoke_on IS 'further columns whose change ends the user''s sessions';
COMMENT ON COLUMN session_guard.guard.max_session_age IS 'a session older than this has expired; NULL: sessions have no end';
COMMENT ON COLUMN session_guard.guard.is_default IS 'whether calls that name no table mean this one';
COMMENT ON COLUMN session_guard.guard.attached_at IS 'when the table was first attached';
COMMENT ON COLUMN session_guard.guard.detached_at IS 'when the table was detached; NULL: it is attached';

CREATE TABLE session_guard.watch (
    guard          text COLLATE pg_catalog."C" NOT NULL,
    name           text COLLATE pg_catalog."C" NOT NULL,
    schema_name    name NOT NULL,
    table_name     name NOT NULL,
    table_owner    name NOT NULL,
    user_id_column name NOT NULL,
    columns        name[],
    PRIMARY KEY (schema_name, table_name)
) USING heap;
COMMENT ON TABLE session_guard.watch IS 'the tables beside users tables whose changes end sessions, as last given to session_guard.watch';
COMMENT ON COLUMN session_guard.watch.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.watch.name IS 'the watch''s name, which never changes: the qualified name that the related table had when it was first watched';
COMMENT ON COLUMN session_guard.watch.schema_name IS 'the related table''s schema when it was last watched or reconciled';
COMMENT ON COLUMN session_guard.watch.table_name IS 'the related table''s name when it was last watched or reconciled';
COMMENT ON COLUMN session_guard.watch.table_owner IS 'the related table''s owner when it was last watched or reconciled';
COMMENT ON COLUMN session_guard.watch.user_id_column IS 'the column that names the user';
COMMENT ON COLUMN session_guard.watch.columns IS 'the columns whose change counts besides; NULL: all';

CREATE TABLE session_guard.store (
    guard             text COLLATE pg_catalog."C" NOT NULL,
    schema_name       name NOT NULL,
    table_name        name NOT NULL,
    table_owner       name NOT NULL,
    user_id_column    name NOT NULL,
    revoked_at_column name,
    PRIMARY KEY (schema_name, table_name)
) USING heap;
COMMENT ON TABLE session_guard.store IS 'the tables in which apps keep their sessions, and in which stamps end them, as last given to session_guard.add_store';
COMMENT ON COLUMN session_guard.store.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.store.schema_name IS 'the table''s schema';
COMMENT ON COLUMN session_guard.store.table_name IS 'the table''s name';
COMMENT ON COLUMN session_guard.store.table_owner IS 'the table''s owner when it was added, with whose rights stamps end sessions; of a row that is written by hand, a role whose rights the writer has';
COMMENT ON COLUMN session_guard.store.user_id_column IS 'the column that names the user';
COMMENT ON COLUMN session_guard.store.revoked_at_column IS 'the column that is raised to the time of a stamp; NULL: the user''s rows are deleted';

CREATE TABLE session_guard.store_failure (
    guard       text COLLATE pg_catalog."C" NOT NULL,
    schema_name name        NOT NULL,
    table_name  name        NOT NULL,
    failed_at   timestamptz NOT NULL,
    reason      text        NOT NULL
) USING heap;
-- It has no key, and while it is published, no row could be deleted.
ALTER TABLE session_guard.store_failure REPLICA IDENTITY FULL;
COMMENT ON TABLE session_guard.store_failure IS 'that a stamp could not end sessions in a session store, until session_guard.reconcile has ended them';
COMMENT ON COLUMN session_guard.store_failure.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.store_failure.schema_name IS 'the store''s schema';
COMMENT ON COLUMN session_guard.store_failure.table_name IS 'the store''s name';
COMMENT ON COLUMN session_guard.store_failure.failed_at IS 'when the transaction began that stamped';
COMMENT ON COLUMN session_guard.store_failure.reason IS 'what PostgreSQL said';

CREATE TABLE session_guard.unwatched (
    guard      text COLLATE pg_catalog."C" NOT NULL,
    noticed_at timestamptz NOT NULL,
    reason     text        NOT NULL
) USING heap;
-- It has no key, and while it is published, no row could be deleted.
ALTER TABLE session_guard.unwatched REPLICA IDENTITY FULL;
COMMENT ON TABLE session_guard.unwatched IS 'when a guard was found without all its triggers, or a change could not be stamped: nobody can know what was disabled and enabled again before that';
COMMENT ON COLUMN session_guard.unwatched.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.unwatched.noticed_at IS 'when it was noticed';
COMMENT ON COLUMN session_guard.unwatched.reason IS 'what was wrong';

CREATE TABLE session_guard.trigger_state (
    guard    text COLLATE pg_catalog."C" NOT NULL,
    relation text COLLATE pg_catalog."C" NOT NULL,
    cluster  bigint NOT NULL,
    state    text   NOT NULL,
    PRIMARY KEY (guard, relation)
) USING heap;
COMMENT ON TABLE session_guard.trigger_state IS 'which transactions made the triggers that are in place, so that a change of them is noticed which was undone, and to which session stores their owners have agreed; of this cluster and database alone, and so not dumped';
COMMENT ON COLUMN session_guard.trigger_state.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.trigger_state.relation IS 'empty: the users table; partitions: those of it; else watch and the name of a watch, or store and the name of a session store';
COMMENT ON COLUMN session_guard.trigger_state.cluster IS 'the cluster''s system identifier';
COMMENT ON COLUMN session_guard.trigger_state.state IS 'the table''s OID, and the triggers'' transactions in the order of the triggers'' names; of a session store the OIDs of table and owner, and the numbers of the columns';

CREATE TABLE session_guard.policy (
    set_at                 timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    set_by                 text        NOT NULL DEFAULT SESSION_USER,
    future_login_tolerance interval    NOT NULL DEFAULT '10 seconds'
        CHECK (future_login_tolerance OPERATOR(pg_catalog.>=) '0'::pg_catalog.interval
               AND future_login_tolerance OPERATOR(pg_catalog.<=) '1 day'::pg_catalog.interval),
    stamp_margin           interval    NOT NULL DEFAULT '0'
        CHECK (stamp_margin OPERATOR(pg_catalog.>=) '0'::pg_catalog.interval
               AND stamp_margin OPERATOR(pg_catalog.<=) '1 day'::pg_catalog.interval),
    when_disarmed          text        NOT NULL DEFAULT 'live'
        CHECK (when_disarmed OPERATOR(pg_catalog.=) ANY (ARRAY['live', 'refuse'])),
    audit                  boolean     NOT NULL DEFAULT true,
    notify                 boolean     NOT NULL DEFAULT false,
    revocation_durability  text        NOT NULL DEFAULT 'local'
        CHECK (revocation_durability OPERATOR(pg_catalog.=) ANY (ARRAY['local', 'remote_apply'])),
    max_standby_staleness  interval    NOT NULL DEFAULT '0'
        CHECK (max_standby_staleness OPERATOR(pg_catalog.>=) '0'::pg_catalog.interval
               AND max_standby_staleness OPERATOR(pg_catalog.<=) '1 day'::pg_catalog.interval),
    when_timeline_changed  text        NOT NULL DEFAULT 'live'
        CHECK (when_timeline_changed OPERATOR(pg_catalog.=) ANY (ARRAY['live', 'refuse']))
) USING heap;
ALTER TABLE session_guard.policy REPLICA IDENTITY FULL;
-- Older than what a restored dump brings beside it.
INSERT INTO session_guard.policy (set_at) VALUES ('-infinity');
COMMENT ON TABLE session_guard.policy IS 'what the extension''s owner has decided for the database, as last given to session_guard.configure; of several rows the one counts that was set last';
COMMENT ON COLUMN session_guard.policy.set_at IS 'when it was decided';
COMMENT ON COLUMN session_guard.policy.set_by IS 'by whom: the role that had logged in to the server';
COMMENT ON COLUMN session_guard.policy.future_login_tolerance IS 'how far ahead of the server''s clock a login time may lie';
COMMENT ON COLUMN session_guard.policy.stamp_margin IS 'how far the app servers'' clocks may be ahead of the server''s, where logins do not take their time from session_start';
COMMENT ON COLUMN session_guard.policy.when_disarmed IS 'while triggers are missing: live, decide by the rows as they are; refuse, let nobody in';
COMMENT ON COLUMN session_guard.policy.audit IS 'whether stamps are recorded in session_guard.event';
COMMENT ON COLUMN session_guard.policy.notify IS 'whether a transaction that stamps sends a NOTIFY on the channel session_guard, without a payload';
COMMENT ON COLUMN session_guard.policy.revocation_durability IS 'what the COMMIT of a stamp waits for: local, what synchronous_commit says; remote_apply, that the synchronous standbys have replayed it';
COMMENT ON COLUMN session_guard.policy.max_standby_staleness IS 'how far behind a standby may be and still answer; 0: it answers as of what it has replayed';
COMMENT ON COLUMN session_guard.policy.when_timeline_changed IS 'after a failover or a restore in which stamps may have been lost: live, decide by the rows as they are; refuse, let nobody in until session_guard.acknowledge_timeline';

-- The user's id comes first: it alone tells most rows apart, so that few comparisons need the second.
CREATE TABLE session_guard.epoch (
    guard      text COLLATE pg_catalog."C" NOT NULL,
    user_id    text COLLATE pg_catalog."C" NOT NULL,
    epoch      timestamptz NOT NULL,
    reason     text        NOT NULL,
    stamped_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    is_related boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, guard, is_related)
) USING heap;
COMMENT ON TABLE session_guard.epoch IS 'the instant that a user''s logins must not predate: the greater of two rows at most; that of a deleted user stays';
COMMENT ON COLUMN session_guard.epoch.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.epoch.user_id IS 'the id''s text, as the column''s type writes it; a digest of a text that is too long for an index';
COMMENT ON COLUMN session_guard.epoch.epoch IS 'no login of this user before this counts';
COMMENT ON COLUMN session_guard.epoch.reason IS 'why it was last raised: see session_guard.event';
COMMENT ON COLUMN session_guard.epoch.stamped_at IS 'when it was last raised, by the server''s clock';
COMMENT ON COLUMN session_guard.epoch.is_related IS 'whether changes of related tables raise this row, which wait for no transaction that changes the account';

CREATE TABLE session_guard.guard_epoch (
    guard      text COLLATE pg_catalog."C" NOT NULL PRIMARY KEY,
    epoch      timestamptz NOT NULL,
    reason     text        NOT NULL,
    stamped_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) USING heap;
COMMENT ON TABLE session_guard.guard_epoch IS 'the instant that every login of a guard must not predate; stays after a detach';
COMMENT ON COLUMN session_guard.guard_epoch.guard IS 'the guard''s name';
COMMENT ON COLUMN session_guard.guard_epoch.epoch IS 'no login of this guard''s users before this counts';
COMMENT ON COLUMN session_guard.guard_epoch.reason IS 'why it was last raised';
COMMENT ON COLUMN session_guard.guard_epoch.stamped_at IS 'when it was last raised, by the server''s clock';

CREATE TABLE session_guard.token_epoch (
    scope      text COLLATE pg_catalog."C" NOT NULL,
    subject    text COLLATE pg_catalog."C",
    epoch      timestamptz NOT NULL,
    reason     text        NOT NULL,
    stamped_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) USING heap;
-- The first finds both; two NULLs are different to it.
CREATE UNIQUE INDEX token_epoch_key ON session_guard.token_epoch (scope, subject);
CREATE UNIQUE INDEX token_epoch_of_scope ON session_guard.token_epoch (scope) WHERE subject IS NULL;
-- It has no key without NULLs, and while it is published, no row could be raised.
ALTER TABLE session_guard.token_epoch REPLICA IDENTITY FULL;
COMMENT ON TABLE session_guard.token_epoch IS 'the instant that tokens must not predate which belong to a thing and not to a user';
COMMENT ON COLUMN session_guard.token_epoch.scope IS 'what kind of thing, such as embedded_dashboard or session';
COMMENT ON COLUMN session_guard.token_epoch.subject IS 'which of its kind, or a digest of one that is too long for an index; NULL: all';
COMMENT ON COLUMN session_guard.token_epoch.epoch IS 'no token that was issued before this counts';
COMMENT ON COLUMN session_guard.token_epoch.reason IS 'why it was last raised';
COMMENT ON COLUMN session_guard.token_epoch.stamped_at IS 'when it was last raised, by the server''s clock';

-- The sequence goes round and the number is no key: neither a sequence at its end nor a row that somebody
-- has numbered by hand may keep a stamp from being recorded.
CREATE SEQUENCE session_guard.event_id_seq CYCLE;
CREATE TABLE session_guard.event (
    id                 bigint      NOT NULL DEFAULT pg_catalog.nextval('session_guard.event_id_seq'),
    at                 timestamptz NOT NULL,
    guard              text COLLATE pg_catalog."C",
    user_id            text COLLATE pg_catalog."C",
    scope              text COLLATE pg_catalog."C",
    subject            text COLLATE pg_catalog."C",
    epoch              timestamptz NOT NULL,
    reason             text        NOT NULL,
    login_role         text        NOT NULL,
    acting_role        text        NOT NULL,
    application_name   text,
    client_addr        inet,
    transaction_id     xid8        NOT NULL,
    replication_origin text
) USING heap;
CREATE INDEX event_id ON session_guard.event (id);
CREATE INDEX event_at ON session_guard.event (at);
CREATE INDEX event_of_user ON session_guard.event (user_id, guard);
ALTER TABLE session_guard.event REPLICA IDENTITY FULL;
-- Another installation's events can be restored beside those that are written meanwhile: the numbers begin
-- at the microseconds since 1970, past all that any installation has given out before.
SELECT pg_catalog.setval('session_guard.event_id_seq',
    (extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000::pg_catalog.numeric)::pg_catalog.int8);
COMMENT ON SEQUENCE session_guard.event_id_seq IS 'numbers the events';
COMMENT ON TABLE session_guard.event IS 'the record of stamps, written by the transactions that stamp; session_guard.prune keeps it short';
COMMENT ON COLUMN session_guard.event.id IS 'the event''s number';
COMMENT ON COLUMN session_guard.event.at IS 'when it was stamped, by the server''s clock';
COMMENT ON COLUMN session_guard.event.guard IS 'the guard''s name, if users were stamped';
COMMENT ON COLUMN session_guard.event.user_id IS 'the id''s text, or a digest of a long one; NULL: all users of the guard';
COMMENT ON COLUMN session_guard.event.scope IS 'what kind of thing, if tokens were stamped';
COMMENT ON COLUMN session_guard.event.subject IS 'which of its kind; NULL: all';
COMMENT ON COLUMN session_guard.event.epoch IS 'what logins, or tokens, must not predate from then on';
COMMENT ON COLUMN session_guard.event.reason IS 'why: disabled, enabled, changed, deleted, id_changed, recreated, truncated, backfill, ban_ended, column: or related: and a name, admin, or admin: and what was said';
COMMENT ON COLUMN session_guard.event.login_role IS 'who had logged in to the server';
COMMENT ON COLUMN session_guard.event.acting_role IS 'whom SET ROLE had made of that';
COMMENT ON COLUMN session_guard.event.application_name IS 'the client''s setting application_name';
COMMENT ON COLUMN session_guard.event.client_addr IS 'from where the client was connected; NULL: over a socket of the same machine, or no client at all';
COMMENT ON COLUMN session_guard.event.transaction_id IS 'the transaction that stamped';
COMMENT ON COLUMN session_guard.event.replication_origin IS 'from where the change was applied, if by logical replication';

CREATE TABLE session_guard.timeline (
    cluster         bigint      NOT NULL,
    timeline        integer     NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    acknowledged_by text        NOT NULL,
    PRIMARY KEY (cluster, timeline)
) USING heap;
COMMENT ON TABLE session_guard.timeline IS 'the server''s timelines in which no stamp is missing, as acknowledged by session_guard.acknowledge_timeline; of this cluster alone, and so not dumped';
COMMENT ON COLUMN session_guard.timeline.cluster IS 'the cluster''s system identifier';
COMMENT ON COLUMN session_guard.timeline.timeline IS 'the number of the timeline';
COMMENT ON COLUMN session_guard.timeline.acknowledged_at IS 'when somebody said so';
COMMENT ON COLUMN session_guard.timeline.acknowledged_by IS 'who said so';

-- Not the table of epochs itself: what plans are kept for that would be thrown away with each stamp.
CREATE TABLE session_guard.invalidation () USING heap;
COMMENT ON TABLE session_guard.invalidation IS 'has no rows: a stamp of many users sends an invalidation of this relation, by which backends drop the epochs that they keep';

CREATE TABLE session_guard.pending () USING heap;
COMMENT ON TABLE session_guard.pending IS 'has no rows: its deferred trigger is called before a transaction commits that stamps';

SELECT pg_catalog.pg_extension_config_dump('session_guard.guard', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.watch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.store', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.store_failure', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.unwatched', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.policy', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.guard_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.token_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event_id_seq', '');
