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
            ('@extschema@', 'session_valid', 'valid', true, 'boolean', 'STABLE PARALLEL SAFE',
             'whether a session of this user that logged in at this time still counts; answers true or false for all values'),
            ('@extschema@', 'session_verdict', 'verdict', true, 'text', 'STABLE PARALLEL SAFE',
             'why a session counts or not: disarmed, unknown_user, disabled, revoked, login_in_future or valid'),
            ('@extschema@', 'session_start', 'start', false, 'timestamptz', 'VOLATILE PARALLEL UNSAFE',
             'the login time to store with a new session of this user, NULL if the account may not log in; locks the user''s row until the transaction ends'),
            ('session_guard', 'epoch_of', 'epoch', false, 'timestamptz', 'STABLE PARALLEL SAFE',
             'the instant that this user''s logins must not predate; NULL: none')
        ) AS f (schema, name, symbol, takes_login, result, properties, meaning)
    LOOP
        FOR id IN SELECT * FROM (VALUES ('bigint', 'int'), ('uuid', 'uuid'), ('text', 'text')) AS i (type, symbol) LOOP
            FOR guard IN SELECT * FROM (VALUES ('', 'of the default guard'), ('users regclass, ', 'of the named guard')) AS g (argument, meaning) LOOP
                FOR login IN
                    SELECT * FROM (VALUES (true, ', login_at timestamptz', ''), (true, ', login_at timestamp', '; a naive time is UTC'), (false, '', ''))
                        AS l (is_login, argument, meaning)
                    WHERE is_login OPERATOR(pg_catalog.=) function.takes_login
                LOOP
                    signature := pg_catalog.format('%s.%I(%suser_id %s%s)', function.schema, function.name, guard.argument, id.type, login.argument);
                    EXECUTE pg_catalog.format('CREATE FUNCTION %s RETURNS %s LANGUAGE c %s AS %L, %L',
                        signature, function.result, function.properties, 'MODULE_PATHNAME',
                        pg_catalog.format('%s_%s_wrapper', function.symbol, id.symbol));
                    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
                    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s WITH GRANT OPTION', signature, '@extowner@');
                    EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', signature,
                        pg_catalog.format('%s; %s%s', function.meaning, guard.meaning, login.meaning));
                END LOOP;
            END LOOP;
        END LOOP;
    END LOOP;
END $do$;

