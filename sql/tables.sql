CREATE SCHEMA session_guard;
COMMENT ON SCHEMA session_guard IS
    'administration and records of pg_session_guard; the functions that apps call are in the extension''s own schema';

-- The library reads the columns by their numbers.
CREATE TABLE session_guard.guard (
    guard           regclass    NOT NULL PRIMARY KEY,
    table_name      text        NOT NULL,
    id_column       name        NOT NULL,
    active_column   name        NOT NULL,
    revoke_on       name[]      NOT NULL DEFAULT '{}',
    is_default      boolean     NOT NULL DEFAULT false,
    attached_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    unwatched_at    timestamptz,
    max_session_age interval
);
CREATE UNIQUE INDEX guard_is_default ON session_guard.guard (is_default) WHERE is_default;
COMMENT ON TABLE session_guard.guard IS 'the guarded users tables, as session_guard.attach was told';
COMMENT ON COLUMN session_guard.guard.guard IS 'the users table';
COMMENT ON COLUMN session_guard.guard.table_name IS 'its qualified name when it was last attached or reconciled: by this, a table that was dropped and made again takes over its epochs';
COMMENT ON COLUMN session_guard.guard.id_column IS 'the column that tells users apart';
COMMENT ON COLUMN session_guard.guard.active_column IS 'the boolean column that is true while an account is enabled';
COMMENT ON COLUMN session_guard.guard.revoke_on IS 'further columns whose change ends the user''s sessions';
COMMENT ON COLUMN session_guard.guard.is_default IS 'whether calls that name no table mean this one';
COMMENT ON COLUMN session_guard.guard.attached_at IS 'when the table was first attached';
COMMENT ON COLUMN session_guard.guard.unwatched_at IS 'when the guard was last found without all its triggers: what was disabled and enabled again before that, nobody can know';

COMMENT ON COLUMN session_guard.guard.max_session_age IS 'a session older than this has expired; NULL: sessions have no end';

-- The library reads the columns by their numbers.
CREATE TABLE session_guard.watch (
    related        regclass NOT NULL PRIMARY KEY,
    table_name     text     NOT NULL,
    guard          regclass NOT NULL,
    user_id_column name     NOT NULL,
    columns        name[]
);
COMMENT ON TABLE session_guard.watch IS 'the tables beside users tables whose changes end sessions, as session_guard.watch was told';
COMMENT ON COLUMN session_guard.watch.related IS 'the table whose rows belong to users';
COMMENT ON COLUMN session_guard.watch.table_name IS 'its qualified name when it was last watched';
COMMENT ON COLUMN session_guard.watch.guard IS 'the users table';
COMMENT ON COLUMN session_guard.watch.user_id_column IS 'the column that names the user';
COMMENT ON COLUMN session_guard.watch.columns IS 'the columns whose change counts besides; NULL: all';

-- The library reads the columns by their numbers.
CREATE TABLE session_guard.guard_epoch (
    guard      regclass    NOT NULL PRIMARY KEY,
    table_name text        NOT NULL,
    epoch      timestamptz,
    reason     text,
    stamped_at timestamptz
);
COMMENT ON TABLE session_guard.guard_epoch IS 'the instant that every login of a guard must not predate; outlives a detach';
COMMENT ON COLUMN session_guard.guard_epoch.guard IS 'the users table';
COMMENT ON COLUMN session_guard.guard_epoch.table_name IS 'its qualified name when it was last stamped or detached';
COMMENT ON COLUMN session_guard.guard_epoch.epoch IS 'no login before this counts; NULL: everybody was never put out at once';
COMMENT ON COLUMN session_guard.guard_epoch.reason IS 'why it was last raised';
COMMENT ON COLUMN session_guard.guard_epoch.stamped_at IS 'when it was last raised, by the server''s clock';

-- The library reads the columns guard, user_id and epoch by their numbers.
CREATE TABLE session_guard.epoch (
    guard      regclass         NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    epoch      timestamptz      NOT NULL,
    reason     text             NOT NULL,
    stamped_at timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (guard, user_id)
);
COMMENT ON TABLE session_guard.epoch IS 'the instant that a user''s logins must not predate; that of a deleted user stays';
COMMENT ON COLUMN session_guard.epoch.guard IS 'the users table';
COMMENT ON COLUMN session_guard.epoch.user_id IS 'the id''s text, as the row had it';
COMMENT ON COLUMN session_guard.epoch.epoch IS 'no login of this user before this counts';
COMMENT ON COLUMN session_guard.epoch.reason IS 'why it was last raised: disabled, enabled, deleted, id_changed, recreated, backfill, or column: and a name';
COMMENT ON COLUMN session_guard.epoch.stamped_at IS 'when it was last raised, by the server''s clock';

CREATE TABLE session_guard.token_epoch (
    scope      text COLLATE "C" NOT NULL,
    subject    text COLLATE "C",
    epoch      timestamptz      NOT NULL,
    reason     text             NOT NULL,
    stamped_at timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- The first finds both; two NULLs are different to it.
CREATE UNIQUE INDEX token_epoch_key ON session_guard.token_epoch (scope, subject);
CREATE UNIQUE INDEX token_epoch_of_scope ON session_guard.token_epoch (scope) WHERE subject IS NULL;
-- It has no key without NULLs, and while it is published, no row could be raised.
ALTER TABLE session_guard.token_epoch REPLICA IDENTITY FULL;
COMMENT ON TABLE session_guard.token_epoch IS 'the instant that tokens must not predate which belong to a thing and not to a user';
COMMENT ON COLUMN session_guard.token_epoch.scope IS 'what kind of thing, such as embedded_dashboard or session';
COMMENT ON COLUMN session_guard.token_epoch.subject IS 'which of its kind; NULL: all';
COMMENT ON COLUMN session_guard.token_epoch.epoch IS 'no token that was issued before this counts';
COMMENT ON COLUMN session_guard.token_epoch.reason IS 'why it was last raised';
COMMENT ON COLUMN session_guard.token_epoch.stamped_at IS 'when it was last raised, by the server''s clock';

CREATE TABLE session_guard.event (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                 timestamptz NOT NULL,
    guard              regclass,
    user_id            text COLLATE "C",
    scope              text COLLATE "C",
    subject            text COLLATE "C",
    epoch              timestamptz NOT NULL,
    reason             text        NOT NULL,
    login_role         text        NOT NULL,
    acting_role        text        NOT NULL,
    application_name   text,
    client_addr        inet,
    transaction_id     xid8        NOT NULL,
    replication_origin text
);
-- Another installation's events can be restored beside those that are written meanwhile: the numbers begin at the
-- microseconds since 1970, past all that any installation has given out before.
SELECT pg_catalog.setval('session_guard.event_id_seq',
    (extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000::pg_catalog.numeric)::pg_catalog.int8);
COMMENT ON SEQUENCE session_guard.event_id_seq IS 'numbers the events';
COMMENT ON TABLE session_guard.event IS 'the record of stamps, written by the transactions that stamp; session_guard.prune keeps it short';
COMMENT ON COLUMN session_guard.event.at IS 'when it was stamped, by the server''s clock';
COMMENT ON COLUMN session_guard.event.guard IS 'the users table, if users were stamped';
COMMENT ON COLUMN session_guard.event.user_id IS 'the id''s text; NULL: all users of the table';
COMMENT ON COLUMN session_guard.event.scope IS 'what kind of thing, if tokens were stamped';
COMMENT ON COLUMN session_guard.event.subject IS 'which of its kind; NULL: all';
COMMENT ON COLUMN session_guard.event.epoch IS 'what logins, or tokens, must not predate from then on';
COMMENT ON COLUMN session_guard.event.reason IS 'why: disabled, enabled, deleted, id_changed, recreated, truncated, backfill, column: or related: and a name, admin, or admin: and what was said';
COMMENT ON COLUMN session_guard.event.login_role IS 'who had logged in to the server';
COMMENT ON COLUMN session_guard.event.acting_role IS 'whom SET ROLE had made of that';
COMMENT ON COLUMN session_guard.event.application_name IS 'the client''s setting application_name';
COMMENT ON COLUMN session_guard.event.client_addr IS 'from where the client was connected; NULL: over a socket of the same machine, or no client at all';
COMMENT ON COLUMN session_guard.event.transaction_id IS 'the transaction that stamped';
COMMENT ON COLUMN session_guard.event.replication_origin IS 'from where the change was applied, if by logical replication';

-- The library reads the columns cluster and timeline by their numbers.
CREATE TABLE session_guard.timeline (
    cluster         bigint      NOT NULL,
    timeline        integer     NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    acknowledged_by text        NOT NULL,
    PRIMARY KEY (cluster, timeline)
);
COMMENT ON TABLE session_guard.timeline IS 'the server''s timelines in which no stamp is missing, as session_guard.acknowledge_timeline was told; of this cluster alone, and so not dumped';
COMMENT ON COLUMN session_guard.timeline.cluster IS 'the cluster''s system identifier';
COMMENT ON COLUMN session_guard.timeline.timeline IS 'the number of the timeline';
COMMENT ON COLUMN session_guard.timeline.acknowledged_at IS 'when somebody said so';
COMMENT ON COLUMN session_guard.timeline.acknowledged_by IS 'who said so';

-- Not the table of epochs itself: what plans are kept for that would be thrown away with each stamp.
CREATE TABLE session_guard.stamp_signal ();
COMMENT ON TABLE session_guard.stamp_signal IS 'has no rows: each stamp sends an invalidation of this relation, by which backends forget the epochs that they keep';

SELECT pg_catalog.pg_extension_config_dump('session_guard.guard', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.watch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.guard_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.token_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event_id_seq', '');
