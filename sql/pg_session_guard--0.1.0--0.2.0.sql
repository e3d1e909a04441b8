-- From 0.1.0 to 0.2.0. Each statement is what a fresh installation runs for the same object, so that both end with
-- the same catalog (tests/servers/tests/extension_update.rs compares them).

-- The tables.
ALTER TABLE session_guard.guard ADD COLUMN max_session_age interval;
COMMENT ON COLUMN session_guard.guard.max_session_age IS 'a session older than this has expired; NULL: sessions have no end';
COMMENT ON COLUMN session_guard.epoch.reason IS 'why it was last raised: disabled, enabled, deleted, id_changed, recreated, backfill, or column: and a name';

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
SELECT pg_catalog.setval('session_guard.event_id_seq', (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint);
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

CREATE TABLE session_guard.stamp_signal ();
COMMENT ON TABLE session_guard.stamp_signal IS 'has no rows: each stamp sends an invalidation of this relation, by which backends forget the epochs that they keep';

SELECT pg_catalog.pg_extension_config_dump('session_guard.watch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.token_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event', '');
SELECT pg_catalog.pg_extension_config_dump('session_guard.event_id_seq', '');

-- The functions that are new; attach has one argument more.
CREATE FUNCTION session_guard.acknowledge_timeline() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'acknowledge_timeline_wrapper';
CREATE FUNCTION session_guard.unwatch(related regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'unwatch_wrapper';
CREATE FUNCTION session_guard.watch(related regclass, user_id_column name, columns name[] DEFAULT NULL, users regclass DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'watch_wrapper';
CREATE FUNCTION session_guard.security_event(event_id bigint) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'security_event_wrapper';
CREATE FUNCTION session_guard.revoke_tokens(scope text, subject text DEFAULT NULL, reason text DEFAULT 'admin') RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'revoke_tokens_wrapper';
CREATE FUNCTION session_guard.prune(older_than interval) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'prune_wrapper';
CREATE FUNCTION session_guard.epoch_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'epoch_changed_wrapper';
CREATE FUNCTION session_guard.stamp_related() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'stamp_related_wrapper';
CREATE FUNCTION session_guard.attach(users regclass, id_column name DEFAULT 'id', active_column name DEFAULT 'active', revoke_on name[] DEFAULT '{}', is_default boolean DEFAULT NULL, max_session_age interval DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'attach_users_wrapper';
DO $do$
DECLARE
    id    record;
    guard record;
    login record;
BEGIN
    -- The reason goes with the user.
    FOR id IN SELECT * FROM (VALUES ('bigint', 'int'), ('uuid', 'uuid'), ('text', 'text')) AS i (type, symbol) LOOP
        FOR guard IN SELECT * FROM (VALUES ('', '', 'of the default guard'), ('', ', reason text', 'of the default guard'), ('users regclass, ', ', reason text', 'of the named guard'))
                AS g (argument, reason, meaning) LOOP
            EXECUTE pg_catalog.format('
                CREATE FUNCTION session_guard.revoke_sessions(%1$suser_id %2$s%3$s) RETURNS timestamptz
                    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS %4$L, %5$L;
                COMMENT ON FUNCTION session_guard.revoke_sessions(%1$suser_id %2$s%3$s) IS %6$L;',
                guard.argument, id.type, guard.reason, 'MODULE_PATHNAME', pg_catalog.format('revoke_%s_wrapper', id.symbol), pg_catalog.format(
                'ends all sessions of this user, %s; returns the epoch that logins must not predate from now on, NULL for an unknown user; takes UPDATE on the users table', guard.meaning));
        END LOOP;
    END LOOP;

    FOR login IN SELECT * FROM (VALUES ('timestamptz', ''), ('timestamp', '; a naive time is UTC')) AS l (type, meaning) LOOP
        EXECUTE pg_catalog.format('
            CREATE FUNCTION @extschema@.token_valid(scope text, subject text, issued_at %1$s) RETURNS boolean
                LANGUAGE c STABLE PARALLEL SAFE AS %2$L, %3$L;
            COMMENT ON FUNCTION @extschema@.token_valid(text, text, %1$s) IS %4$L;',
            login.type, 'MODULE_PATHNAME', 'token_valid_wrapper',
            'whether a token still counts that was issued at this time to a thing and not to a user; answers true or false for all values' OPERATOR(pg_catalog.||) login.meaning);
    END LOOP;
END $do$;

-- The functions that apps call, and session_guard.epoch_of, have other names in the library. Replaced and not made
-- again, they keep the rights that were granted on them, and what depends on them: policies, views.
DO $do$
DECLARE
    function  record;
    id        record;
    guard     record;
    login     record;
    signature text;
BEGIN
    FOR function IN
        SELECT * FROM (VALUES
            ('@extschema@', 'session_valid', 'session_valid_%s', true, 'boolean', 'STABLE PARALLEL SAFE',
             'whether a session of this user that logged in at this time still counts; answers true or false for all values'),
            ('@extschema@', 'session_verdict', 'verdict_%s%s_wrapper', true, 'text', 'STABLE PARALLEL SAFE',
             'why a session counts or not: disarmed, stale_replica, unacknowledged_timeline, unknown_user, disabled, revoked, expired, login_in_future or valid'),
            ('@extschema@', 'session_start', 'start_%s%s_wrapper', false, 'timestamptz', 'VOLATILE PARALLEL UNSAFE',
             'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends'),
            ('session_guard', 'epoch_of', 'epoch_%s%s_wrapper', false, 'timestamptz', 'STABLE PARALLEL SAFE',
             'the instant that this user''s logins must not predate; NULL: none')
        ) AS f (schema, name, symbol, takes_login, result, properties, meaning)
    LOOP
        FOR id IN SELECT * FROM (VALUES ('bigint', 'int'), ('uuid', 'uuid'), ('text', 'text')) AS i (type, symbol) LOOP
            FOR guard IN SELECT * FROM (VALUES ('', '', 'of the default guard'), ('users regclass, ', '_of', 'of the named guard')) AS g (argument, symbol, meaning) LOOP
                FOR login IN
                    SELECT * FROM (VALUES (true, ', login_at timestamptz', ''), (true, ', login_at timestamp', '; a naive time is UTC'), (false, '', ''))
                        AS l (is_login, argument, meaning)
                    WHERE is_login OPERATOR(pg_catalog.=) function.takes_login
                LOOP
                    signature := pg_catalog.format('%s.%I(%suser_id %s%s)', function.schema, function.name, guard.argument, id.type, login.argument);
                    EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION %s RETURNS %s LANGUAGE c %s AS %L, %L',
                        signature, function.result, function.properties, 'MODULE_PATHNAME',
                        pg_catalog.format(function.symbol, id.symbol, guard.symbol));
                    EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', signature,
                        pg_catalog.format('%s; %s%s', function.meaning, guard.meaning, login.meaning));
                END LOOP;
            END LOOP;
        END LOOP;
    END LOOP;
END $do$;

-- Edits of epochs by hand.
DO $$
DECLARE
    epochs text;
BEGIN
    FOREACH epochs IN ARRAY ARRAY['epoch', 'guard_epoch'] LOOP
        EXECUTE pg_catalog.format('
            CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.%1$I
                FOR EACH ROW EXECUTE FUNCTION session_guard.epoch_changed();
            ALTER TABLE session_guard.%1$I ENABLE ALWAYS TRIGGER session_guard_changed;
            CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION session_guard.epoch_changed();
            ALTER TABLE session_guard.%1$I ENABLE ALWAYS TRIGGER session_guard_emptied;
            COMMENT ON TRIGGER session_guard_changed ON session_guard.%1$I IS ''edits by hand count at once'';
            COMMENT ON TRIGGER session_guard_emptied ON session_guard.%1$I IS ''edits by hand count at once'';', epochs);
    END LOOP;
END $$;

CREATE TRIGGER session_guard_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON session_guard.timeline
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.timeline ENABLE ALWAYS TRIGGER session_guard_changed;
COMMENT ON TRIGGER session_guard_changed ON session_guard.timeline IS
    'edits by hand count at once';

-- What comes by logical replication.
CREATE FUNCTION session_guard.arrive() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'arrive_wrapper';
COMMENT ON FUNCTION session_guard.arrive() IS
    'called when rows of these tables come by logical replication: raises epochs, keeps events, and guards that are not here yet, and changes nothing else';
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['epoch', 'guard_epoch', 'token_epoch', 'guard', 'watch', 'timeline', 'event'] LOOP
        EXECUTE pg_catalog.format('
            CREATE TRIGGER session_guard_arrives BEFORE INSERT OR UPDATE OR DELETE ON session_guard.%1$I
                FOR EACH ROW EXECUTE FUNCTION session_guard.arrive();
            ALTER TABLE session_guard.%1$I ENABLE REPLICA TRIGGER session_guard_arrives;
            COMMENT ON TRIGGER session_guard_arrives ON session_guard.%1$I IS
                ''what comes by logical replication raises epochs, and changes nothing else that is there'';', relation);
    END LOOP;
END $$;

-- Who may. Only what is new is named: a GRANT in an extension's script records all rights on the object as the
-- extension's own, which pg_dump leaves out, and so would lose those that were granted by users.
DO $$
DECLARE
    -- @extowner@ is whoever runs the update, which may be a superuser. What is new is to belong to whom the rest does.
    administrator regrole := (SELECT extowner FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'pg_session_guard');
    owner         regrole := (SELECT relowner FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) 'session_guard.guard'::regclass);
    function      text;
    relation      text;
BEGIN
    FOREACH function IN ARRAY ARRAY[
        'session_guard.acknowledge_timeline()',
        'session_guard.unwatch(regclass)',
        'session_guard.watch(regclass, name, name[], regclass)',
        'session_guard.security_event(bigint)',
        'session_guard.revoke_tokens(text, text, text)',
        'session_guard.prune(interval)',
        'session_guard.epoch_changed()',
        'session_guard.arrive()',
        'session_guard.stamp_related()',
        'session_guard.attach(regclass, name, name, name[], boolean, interval)',
        'session_guard.revoke_sessions(bigint)',
        'session_guard.revoke_sessions(uuid)',
        'session_guard.revoke_sessions(text)',
        'session_guard.revoke_sessions(bigint, text)',
        'session_guard.revoke_sessions(uuid, text)',
        'session_guard.revoke_sessions(text, text)',
        'session_guard.revoke_sessions(regclass, bigint, text)',
        'session_guard.revoke_sessions(regclass, uuid, text)',
        'session_guard.revoke_sessions(regclass, text, text)',
        '@extschema@.token_valid(text, text, timestamptz)',
        '@extschema@.token_valid(text, text, timestamp)'
    ] LOOP
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %s', function, owner);
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s WITH GRANT OPTION', function, administrator);
    END LOOP;
    FOREACH relation IN ARRAY ARRAY['watch', 'token_epoch', 'event', 'timeline', 'stamp_signal'] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE session_guard.%I OWNER TO %s', relation, owner);
        EXECUTE pg_catalog.format('GRANT SELECT, INSERT ON session_guard.%I TO %s', relation, administrator);
    END LOOP;
    EXECUTE pg_catalog.format('GRANT USAGE, SELECT, UPDATE ON SEQUENCE session_guard.event_id_seq TO %s', administrator);
END $$;

-- Whoever was granted attach is granted it with the new argument, too; and that is no part of the extension either.
DO $$
DECLARE
    before  regprocedure := 'session_guard.attach(regclass, name, name, name[], boolean)';
    after   regprocedure := 'session_guard.attach(regclass, name, name, name[], boolean, interval)';
    own     aclitem[] := (SELECT initprivs FROM pg_catalog.pg_init_privs
                          WHERE classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::regclass AND objoid OPERATOR(pg_catalog.=) after);
    granted record;
BEGIN
    FOR granted IN
        SELECT acl.grantee, pg_catalog.bool_or(acl.is_grantable) AS is_grantable
        FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) AS acl
        WHERE p.oid OPERATOR(pg_catalog.=) before
          AND acl.grantee NOT IN (SELECT o.grantee FROM pg_catalog.aclexplode(own) AS o)
        GROUP BY acl.grantee
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s %s', after,
            CASE WHEN granted.grantee OPERATOR(pg_catalog.=) 0::oid THEN 'PUBLIC' ELSE granted.grantee::regrole::text END,
            CASE WHEN granted.is_grantable THEN 'WITH GRANT OPTION' END);
        -- From PostgreSQL 17 on, the roles that are named in what is recorded are kept from being dropped.
        DELETE FROM pg_catalog.pg_shdepend
        WHERE dbid OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
          AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::regclass AND objid OPERATOR(pg_catalog.=) after
          AND refobjid OPERATOR(pg_catalog.=) granted.grantee AND deptype OPERATOR(pg_catalog.=) 'i';
    END LOOP;
    -- There is no statement for this.
    UPDATE pg_catalog.pg_init_privs SET initprivs = own
    WHERE classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::regclass AND objoid OPERATOR(pg_catalog.=) after;
END $$;
DROP FUNCTION session_guard.attach(regclass, name, name, name[], boolean);

COMMENT ON FUNCTION session_guard.acknowledge_timeline() IS
    'says that no stamp is missing in the server''s timeline: none was lost in a failover or a restore, or everybody has been put out since';
COMMENT ON FUNCTION session_guard.unwatch(regclass) IS
    'lets changes of a related table end no sessions any more';
COMMENT ON FUNCTION session_guard.watch(regclass, name, name[], regclass) IS
    'has changes of a related table end the sessions of the user that the row names, of the default guard if none is named; takes ownership of the related table, and UPDATE on the users table';
COMMENT ON FUNCTION session_guard.security_event(bigint) IS
    'an event as the claims of an OpenID CAEP session-revoked security event (RFC 8417); who signs it adds iss and aud; NULL: no such event, or one of an empty id';
COMMENT ON FUNCTION session_guard.revoke_tokens(text, text, text) IS
    'ends the tokens of one subject, or without a subject all of the scope; returns the epoch that tokens must not predate from now on; NULL for no scope';
COMMENT ON FUNCTION session_guard.prune(interval) IS
    'removes epochs of users who are there no more, epochs of single tokens, and events, all older than this; returns how many; it must be longer than any session lives';
COMMENT ON FUNCTION session_guard.epoch_changed() IS
    'called when epochs change: has every backend forget those that it keeps';
COMMENT ON FUNCTION session_guard.stamp_related() IS
    'called by the triggers of a related table: raises the epochs of the users that the rows name';
COMMENT ON FUNCTION session_guard.attach(regclass, name, name, name[], boolean, interval) IS
    'guards a users table, and stamps the accounts that are disabled already; returns how many it newly stamped';

SELECT session_guard.acknowledge_timeline();

-- Changes nothing, and has each connection look whether its library knows this catalog (src/version.rs).
REVOKE ALL ON session_guard.guard FROM PUBLIC;
