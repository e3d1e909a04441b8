-- The statement of a HINT or a remedy, run as it stands by a superuser whose search path begins with a schema of somebody else's,
-- calls no operator, function or type that is planted there.
CREATE ROLE regress_mallory;
CREATE SCHEMA evil AUTHORIZATION regress_mallory;
CREATE TABLE evil.called (what text, who text);
GRANT ALL ON evil.called TO PUBLIC;
SET SESSION AUTHORIZATION regress_mallory;
CREATE FUNCTION evil.note(what pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS
    'BEGIN INSERT INTO evil.called VALUES (what, current_user); RETURN true; END';
DO $do$
DECLARE
    types text[] := ARRAY['int2', 'int4', 'int8', 'text', 'name', '"char"', 'oid', 'regclass', 'regtype', 'bool', 'interval', 'timestamptz', 'text[]', 'name[]'];
    l text;
    r text;
    op text;
BEGIN
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            EXECUTE format($$CREATE FUNCTION evil.op(l pg_catalog.%1$s, r pg_catalog.%2$s) RETURNS pg_catalog.bool LANGUAGE plpgsql AS
                'BEGIN RETURN evil.note(''operator %1$s, %2$s''); END'$$, l, r);
            FOREACH op IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>=', '~', '~~'] LOOP
                EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = pg_catalog.%s, RIGHTARG = pg_catalog.%s, FUNCTION = evil.op)', op, l, r);
            END LOOP;
            EXECUTE format($$CREATE FUNCTION evil.sum_of(l pg_catalog.%1$s, r pg_catalog.%2$s) RETURNS pg_catalog.%1$s LANGUAGE plpgsql AS
                'BEGIN PERFORM evil.note(''arithmetic %1$s, %2$s''); RETURN l; END'$$, l, r);
            FOREACH op IN ARRAY ARRAY['+', '-', '||'] LOOP
                EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = pg_catalog.%s, RIGHTARG = pg_catalog.%s, FUNCTION = evil.sum_of)', op, l, r);
            END LOOP;
        END LOOP;
    END LOOP;
    -- Functions of the names that statements may call, with the arguments that PostgreSQL's have.
    FOR l IN
        SELECT format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', proname, pg_get_function_arguments(oid), pg_get_function_result(oid),
            format('BEGIN PERFORM evil.note(%L); RETURN NULL; END', 'function ' || proname))
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provariadic = 0 AND proname IN ('pg_describe_object', 'date_trunc', 'clock_timestamp', 'now', 'pg_terminate_backend',
            'pg_backend_pid', 'pg_reload_conf', 'format_type', 'quote_ident')
    LOOP
        EXECUTE l;
    END LOOP;
    FOREACH l IN ARRAY ARRAY['int2', 'int4', 'int8', 'text', 'name', '"char"', 'oid', 'regclass', 'regtype', 'regprocedure', 'bool', 'interval', 'timestamptz'] LOOP
        EXECUTE format($$CREATE DOMAIN evil.%1$s AS pg_catalog.%1$s CHECK (evil.note('type %1$s'))$$, l);
    END LOOP;
    FOREACH l IN ARRAY ARRAY['pg_attribute', 'pg_class', 'pg_depend', 'pg_extension', 'pg_proc', 'pg_stat_wal_receiver', 'guard', 'watch', 'epoch', 'guard_epoch', 'users'] LOOP
        EXECUTE format($$CREATE VIEW evil.%I AS SELECT evil.note('view %1$s') AS note$$, l);
    END LOOP;
END $do$;
RESET SESSION AUTHORIZATION;
-- They are found where nobody names PostgreSQL's schema, and their calls are noted.
SET search_path = evil, pg_catalog;
SELECT 1::pg_catalog.oid = 'pg_class'::pg_catalog.regclass AS is_evil, 'x'::name IS NULL AS is_evil_too, clock_timestamp() IS NULL AS and_this, (SELECT count(*) FROM pg_depend) AS and_that;
RESET search_path;
SELECT * FROM evil.called ORDER BY what;
TRUNCATE evil.called;

CREATE FUNCTION hint(statement text) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN coalesce(substring(hint FROM ': ([A-Z]{3}.*;)$'), 'no statement: ' || SQLERRM || ' ' || hint);
END $$;
SET client_min_messages = error;
CREATE EXTENSION pg_session_guard;
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE users (id int, active boolean, password text, other_id int UNIQUE);
INSERT INTO users VALUES (1, true, 'x', 1), (2, false, 'y', 2);
CREATE TABLE role (user_id int);
CREATE UNLOGGED TABLE unlogged (id int UNIQUE, active boolean);
CREATE TABLE by_other_method (id int UNIQUE, active boolean) USING other;
SET search_path = evil, public, pg_catalog;

-- HINTs.
SELECT public.hint($$SELECT session_guard.attach('users', 'uid')$$) \gexec
SELECT public.hint($$SELECT session_guard.attach('users')$$) \gexec
SELECT public.hint($$SELECT session_guard.attach('unlogged')$$) \gexec
SELECT public.hint($$SELECT session_guard.attach('by_other_method')$$) \gexec
SELECT public.hint($$SELECT session_guard.detach('role')$$) \gexec
SELECT public.hint($$SELECT session_guard.unwatch('role')$$) \gexec
CREATE TRIGGER session_guard_insert AFTER INSERT ON public.users EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TRIGGER not_session_guard_insert AFTER INSERT ON public.users EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT public.hint($$SELECT session_guard.attach('users')$$) \gexec
DROP TRIGGER not_session_guard_insert ON public.users;
DROP TRIGGER not_session_guard_insert_2 ON public.users;
SELECT session_guard.attach('public.users', revoke_on => '{password}'), session_guard.watch('public.role', 'user_id', ARRAY['user_id']);
SELECT public.hint($$SELECT session_guard.attach('users', 'other_id')$$) \gexec
SELECT session_guard.detach('public.users'), session_guard.attach('public.users', 'id');
GRANT USAGE ON SCHEMA session_guard TO regress_mallory;
GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.revoke_all_sessions, session_guard.configure, public.hint TO regress_mallory;
SET ROLE regress_mallory;
SELECT public.hint($$SELECT session_guard.revoke_all_sessions('users')$$) AS statement \gset
RESET ROLE;
SELECT :'statement' \gexec
SET ROLE regress_mallory;
SELECT public.hint($$SELECT session_guard.attach('users')$$) AS statement \gset
RESET ROLE;
SELECT :'statement' \gexec
RESET ROLE;
ALTER TABLE session_guard.token_epoch RENAME TO other_epoch;
\o /dev/null
SELECT public.hint($$SELECT token_valid('a', 'b', now())$$) \gexec
\o
ALTER TABLE session_guard.other_epoch RENAME TO token_epoch;
ALTER TABLE public.users RENAME TO members;
CREATE TABLE public.users (id int UNIQUE, active boolean, password text);
SELECT public.hint($$SELECT session_valid('members', 1, now())$$) \gexec
DROP TABLE public.members;
ALTER TABLE public.users RENAME password TO secret;
ALTER TABLE public.users ADD password text;
SELECT public.hint($$SELECT session_valid('users', 1, now())$$) \gexec
ALTER TABLE public.users DISABLE TRIGGER USER;
DROP TRIGGER session_guard_update ON public.users;
ALTER TABLE public.users DROP secret, DROP password;
SELECT public.hint($$SELECT session_valid('users', 1, now())$$) \gexec
SELECT * FROM evil.called;

-- Remedies: all that is wrong is put right by what health says.
SELECT session_guard.reconcile();
ALTER TABLE public.users DISABLE TRIGGER session_guard_update;
ALTER TABLE public.users RENAME active TO enabled;
ALTER TABLE public.users DROP CONSTRAINT users_id_key;
ALTER TABLE public.role DISABLE TRIGGER session_guard_related_delete;
ALTER TABLE session_guard.epoch DISABLE TRIGGER USER;
ALTER FUNCTION session_guard.stamp() SECURITY INVOKER;
INSERT INTO session_guard.epoch VALUES ('public.users', '1', 'infinity', 'x');
INSERT INTO session_guard.guard_epoch VALUES ('public.users', '2200-01-01', 'x') ON CONFLICT (guard) DO UPDATE SET epoch = EXCLUDED.epoch;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
CREATE VIEW public.remedy AS SELECT DISTINCT remedy COLLATE pg_catalog."C" FROM session_guard.health() WHERE NOT ok ORDER BY 1;
SELECT * FROM public.remedy;
\o /dev/null
SELECT * FROM public.remedy \gexec
\o
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT * FROM evil.called;

RESET search_path;
DROP VIEW remedy;
DROP EXTENSION pg_session_guard;
DROP SCHEMA evil CASCADE;
DROP TABLE users, role, unlogged, by_other_method;
DROP ACCESS METHOD other;
DROP FUNCTION hint;
DROP ROLE regress_mallory;
