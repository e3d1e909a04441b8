-- The functions that apps call, and session_guard.epoch_of: each for ids of three types, for the default
-- guard and a named one, and for login times with a zone and without.
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
                    EXECUTE pg_catalog.format('CREATE FUNCTION %s RETURNS %s LANGUAGE c %s AS %L, %L',
                        signature, function.result, function.properties, 'MODULE_PATHNAME',
                        pg_catalog.format(function.symbol, id.symbol, guard.symbol));
                    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
                    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s WITH GRANT OPTION', signature, '@extowner@');
                    EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', signature,
                        pg_catalog.format('%s; %s%s', function.meaning, guard.meaning, login.meaning));
                END LOOP;
            END LOOP;
        END LOOP;
    END LOOP;

    -- The reason goes with the user.
    FOR id IN SELECT * FROM (VALUES ('bigint', 'int'), ('uuid', 'uuid'), ('text', 'text')) AS i (type, symbol) LOOP
        FOR guard IN SELECT * FROM (VALUES ('', '', 'of the default guard'), ('', ', reason text', 'of the default guard'), ('users regclass, ', ', reason text', 'of the named guard'))
                AS g (argument, reason, meaning) LOOP
            signature := pg_catalog.format('session_guard.revoke_sessions(%suser_id %s%s)', guard.argument, id.type, guard.reason);
            EXECUTE pg_catalog.format('CREATE FUNCTION %s RETURNS timestamptz LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS %L, %L',
                signature, 'MODULE_PATHNAME', pg_catalog.format('revoke_%s_wrapper', id.symbol));
            EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', signature, pg_catalog.format(
                'ends all sessions of this user, %s; returns the epoch that logins must not predate from now on, NULL for an unknown user; takes UPDATE on the users table', guard.meaning));
        END LOOP;
    END LOOP;

    FOR login IN SELECT * FROM (VALUES ('timestamptz', ''), ('timestamp', '; a naive time is UTC')) AS l (type, meaning) LOOP
        signature := pg_catalog.format('%s.token_valid(scope text, subject text, issued_at %s)', '@extschema@', login.type);
        EXECUTE pg_catalog.format('CREATE FUNCTION %s RETURNS boolean LANGUAGE c STABLE PARALLEL SAFE AS %L, %L',
            signature, 'MODULE_PATHNAME', 'token_valid_wrapper');
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s WITH GRANT OPTION', signature, '@extowner@');
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', signature,
            'whether a token still counts that was issued at this time to a thing and not to a user; answers true or false for all values' OPERATOR(pg_catalog.||) login.meaning);
    END LOOP;
END $do$;
