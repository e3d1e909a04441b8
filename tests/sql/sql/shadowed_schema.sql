-- CREATE EXTENSION into a schema in which every operator and function that the script could resolve has a better match calls
-- none of them; nor do the functions, whatever the caller's search path.
CREATE ROLE regress_mallory;
CREATE SCHEMA evil AUTHORIZATION regress_mallory;
CREATE TABLE evil.called (what text, who text);
GRANT ALL ON evil.called TO PUBLIC;
SET SESSION AUTHORIZATION regress_mallory;
CREATE DOMAIN evil.arg AS text;
-- Operators of each name for each pair of types, whether PostgreSQL has one for it or not; those that it has are found first
-- only where it is searched first.
DO $do$
DECLARE
    types text[] := ARRAY['int2', 'int4', 'int8', 'numeric', 'float8', 'text', 'name', '"char"', 'oid', 'regclass', 'regnamespace', 'regprocedure', 'regtype', 'bool', 'interval',
        'timestamptz', 'text[]', 'name[]', 'oid[]', '"char"[]', 'xid8', 'uuid'];
    l text;
    r text;
    op text;
BEGIN
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            EXECUTE format($$CREATE FUNCTION evil.op(l %1$s, r %2$s) RETURNS bool LANGUAGE plpgsql AS
                'BEGIN INSERT INTO evil.called VALUES (''operator %1$s, %2$s'', current_user); RETURN true; END'$$, l, r);
            FOREACH op IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>=', '~', '!~', '~~', '@>', '&&'] LOOP
                EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op)', op, l, r);
            END LOOP;
            EXECUTE format($$CREATE FUNCTION evil.sum_of(l %1$s, r %2$s) RETURNS %3$s LANGUAGE plpgsql AS
                'BEGIN INSERT INTO evil.called VALUES (''arithmetic %1$s, %2$s'', current_user); RETURN NULL; END'$$, l, r, CASE WHEN l ~ 'int|numeric|float' THEN 'numeric' ELSE l END);
            FOREACH op IN ARRAY ARRAY['+', '-', '*', '/', '||', '%'] LOOP
                EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.sum_of)', op, l, r);
            END LOOP;
        END LOOP;
        EXECUTE format($$CREATE FUNCTION evil.minus(r %1$s) RETURNS %1$s LANGUAGE plpgsql AS
            'BEGIN INSERT INTO evil.called VALUES (''unary %1$s'', current_user); RETURN NULL; END'$$, l);
        EXECUTE format('CREATE OPERATOR evil.- (RIGHTARG = %s, FUNCTION = evil.minus)', l);
    END LOOP;
END $do$;
-- Functions of each name that the extension's script calls, with the arguments that PostgreSQL's have, and others.
RESET SESSION AUTHORIZATION;
CREATE TABLE evil.script AS
    SELECT pg_read_file(setting || '/extension/pg_session_guard--' || (SELECT default_version FROM pg_available_extensions WHERE name = 'pg_session_guard') || '.sql') AS script
    FROM pg_config WHERE name = 'SHAREDIR';
GRANT SELECT ON evil.script TO regress_mallory;
SET SESSION AUTHORIZATION regress_mallory;
DO $do$
DECLARE
    f record;
    t text;
    args text[];
BEGIN
    FOR f IN
        SELECT DISTINCT p.proname, ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u(a, n) ORDER BY n) AS args, format_type(p.prorettype, NULL) AS result
        FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.pronargs <= 4
            AND (p.proname IN (SELECT m[1] FROM evil.script, regexp_matches(script, '([a-z_0-9]+) ?\(', 'g') AS m)
                 OR p.proname IN ('now', 'clock_timestamp', 'pg_has_role', 'has_function_privilege', 'lower', 'length', 'quote_literal'))
            AND NOT EXISTS (SELECT FROM unnest(p.proargtypes || p.prorettype) AS a JOIN pg_type AS t ON t.oid = a WHERE t.typtype = 'p')
    LOOP
        FOR i IN 0 .. cardinality(f.args) LOOP
            FOREACH t IN ARRAY ARRAY['integer', 'bigint', 'text', 'name', 'oid', 'regclass', 'regprocedure', 'numeric', 'timestamp with time zone', 'interval', '"char"', 'name[]'] LOOP
                args := f.args;
                IF i > 0 THEN
                    args[i] := t;
                END IF;
                BEGIN
                    EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, array_to_string(args, ', '), f.result,
                        format('BEGIN INSERT INTO evil.called VALUES (%L, current_user); RETURN NULL; END', 'function ' || f.proname));
                EXCEPTION WHEN duplicate_function THEN
                    NULL;
                END;
            END LOOP;
        END LOOP;
    END LOOP;
    -- Where PostgreSQL's takes any type, one that is named is the better match.
    FOREACH t IN ARRAY ARRAY['text', 'name', 'oid', 'regprocedure', 'regclass', 'bigint', '"char"'] LOOP
        FOR n IN 1 .. 5 LOOP
            EXECUTE format($$CREATE FUNCTION evil.format(text%s) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.called VALUES (''function format'', current_user); RETURN NULL; END'$$, repeat(', ' || t, n));
        END LOOP;
        EXECUTE format($$CREATE FUNCTION evil.count(%1$s) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.called VALUES (''function count'', current_user); RETURN 0; END'$$, t);
        EXECUTE format($$CREATE FUNCTION evil.unnest(%1$s[]) RETURNS SETOF %1$s LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.called VALUES (''function unnest'', current_user); RETURN; END'$$, t);
        EXECUTE format($$CREATE FUNCTION evil.max(%1$s) RETURNS %1$s LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.called VALUES (''function max'', current_user); RETURN NULL; END'$$, t);
    END LOOP;
END $do$;
RESET SESSION AUTHORIZATION;
SELECT count(*) > 5000 AS operators FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace;
SELECT count(*) > 1000 AS functions FROM pg_proc WHERE pronamespace = 'evil'::regnamespace;
-- They are found where nobody names PostgreSQL's schema, and their calls are noted.
SET search_path = evil;
SELECT 1::numeric * 1::bigint IS NULL AS is_evil;
SET search_path = evil, pg_catalog;
SELECT 1 = 2 AS is_evil, quote_ident('x') IS NULL AS too;
RESET search_path;
SELECT * FROM evil.called;
TRUNCATE evil.called;

-- An administrator installs it there.
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text, banned_at timestamptz);
INSERT INTO ab_user SELECT n, n <> 3 FROM generate_series(1, 9) AS n;
CREATE TABLE role (user_id int);
CREATE EXTENSION pg_session_guard SCHEMA evil;
SELECT * FROM evil.called;
SELECT name FROM session_guard.guard;

-- And all is called with that schema first, and PostgreSQL's last.
SET search_path = evil, public, pg_temp, pg_catalog;
SET client_min_messages = error;
SELECT session_guard.attach('ab_user', revoke_on => '{password}', max_session_age => '1 d'), session_guard.watch('role', 'user_id'), session_guard.configure(audit => true, notify => true),
       session_guard.grant_access('regress_mallory'), session_guard.revoke_access('regress_mallory'), session_guard.grant_access('regress_mallory');
UPDATE ab_user SET active = false WHERE id OPERATOR(pg_catalog.=) 1;
UPDATE ab_user SET active = true WHERE id OPERATOR(pg_catalog.=) 1;
UPDATE ab_user SET password = 'x', banned_at = pg_catalog.now() WHERE id OPERATOR(pg_catalog.=) 2;
INSERT INTO role VALUES (4);
DELETE FROM ab_user WHERE id OPERATOR(pg_catalog.=) 5;
INSERT INTO ab_user VALUES (5, true);
SELECT session_verdict(1, '2020-01-01'::timestamptz), session_verdict(2, '2020-01-01'::timestamp), session_verdict('3', '2020-01-01'::timestamptz), session_verdict('ab_user', 4, '2020-01-01'::timestamptz),
       session_valid(5, session_start(5)), token_valid('a', 'b', '2020-01-01'::timestamptz), session_guard.epoch_of(9) IS NULL AS has_none;
SELECT session_guard.revoke_sessions(1, 'x') IS NOT NULL, session_guard.revoke_tokens('a', 'b') IS NOT NULL, session_guard.revoke_tokens('a') IS NOT NULL, session_guard.revoke_all_sessions() IS NOT NULL AS are_done;
ALTER TABLE ab_user DISABLE TRIGGER USER;
UPDATE ab_user SET active = false WHERE id OPERATOR(pg_catalog.=) 9;
SELECT session_guard.reconcile();
SELECT reason FROM session_guard.history(1);
SELECT relation FROM session_guard.prune('1 day', '1 day', true);
SELECT session_guard.security_event(id) IS NOT NULL AS is_given FROM session_guard.history('2');
SELECT session_guard.acknowledge_timeline();
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.unwatch('role'), session_guard.detach('ab_user'), session_guard.attach('ab_user'), session_guard.detach('ab_user', true);
SELECT * FROM evil.called;
RESET search_path;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_mallory';
RESET client_min_messages;

-- The database's owner, who need not be a superuser, installs it there.
DROP EXTENSION pg_session_guard;
GRANT CREATE ON DATABASE :DBNAME TO regress_mallory;
GRANT CREATE ON SCHEMA public TO regress_mallory;
ALTER TABLE ab_user OWNER TO regress_mallory;
SET SESSION AUTHORIZATION regress_mallory;
CREATE EXTENSION pg_session_guard SCHEMA evil;
SELECT * FROM evil.called;
DROP EXTENSION pg_session_guard;
RESET SESSION AUTHORIZATION;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_mallory';

SET client_min_messages = error;
DROP SCHEMA evil CASCADE;
DROP TABLE ab_user, role;
REVOKE CREATE ON SCHEMA public FROM regress_mallory;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_mallory;
DROP ROLE regress_mallory;
