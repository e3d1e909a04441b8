-- Columns of the extension's own tables that somebody retypes, drops or puts in another order give errors, and never a
-- wrong answer or the end of the server. Undone, everything is as it was.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, n <> 3 FROM generate_series(1, 9) AS n;
CREATE TABLE role (user_id int);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users'), session_guard.watch('role', 'user_id');
SELECT session_start(1) AS login \gset
SELECT session_guard.revoke_sessions(1) IS NOT NULL, session_guard.revoke_tokens('session', 's') IS NOT NULL, session_guard.revoke_all_sessions() IS NOT NULL AS are_revoked;

-- What each call gives while a column is otherwise: a value, or an SQLSTATE.
CREATE FUNCTION result_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    IF statement ~ '^SELECT' THEN
        EXECUTE statement INTO result;
        RETURN coalesce(result, 'NULL');
    END IF;
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE result (change text, call text, result text);
CREATE FUNCTION try(change text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    calls text[] := ARRAY[
        'SELECT session_verdict(1, ''2000-01-01''::timestamptz)', 'SELECT session_verdict(2, ''infinity''::timestamptz)', 'SELECT session_verdict(3, now())',
        'SELECT session_start(3)', 'SELECT session_start(2) IS NOT NULL', 'SELECT token_valid(''session'', ''s'', ''2000-01-01''::timestamptz)', 'SELECT session_guard.epoch_of(1) IS NOT NULL',
        'SELECT session_guard.revoke_sessions(2) IS NOT NULL', 'SELECT session_guard.revoke_tokens(''session'', ''t'') IS NOT NULL', 'SELECT session_guard.revoke_all_sessions() IS NOT NULL',
        'UPDATE users SET active = false WHERE id = 4', 'UPDATE users SET active = true WHERE id = 4', 'INSERT INTO role VALUES (5)', 'DELETE FROM users WHERE id = 6', 'TRUNCATE users',
        'SELECT session_guard.attach(''users'')', 'SELECT session_guard.reconcile()', 'SELECT count(*) > 5 FROM session_guard.health()', 'SELECT count(*) > 0 FROM session_guard.history(1)',
        'SELECT count(*) > 2 FROM session_guard.prune(''1 day'', ''1 day'')', 'SELECT session_guard.configure(audit => true)',
        'SELECT session_guard.security_event((SELECT max(id) FROM session_guard.event)) IS NOT NULL', 'SELECT session_guard.acknowledge_timeline()', 'SELECT session_guard.watch(''role'', ''user_id'')',
        'SELECT session_guard.unwatch(''role'')', 'SET CONSTRAINTS ALL IMMEDIATE', 'SELECT session_guard.detach(''users'', forget => true)'];
    call text;
    results text[] := '{}';
BEGIN
    BEGIN
        EXECUTE change;
        FOREACH call IN ARRAY calls LOOP
            results := results || result_of(call);
        END LOOP;
        -- As a new connection would see it.
        RAISE 'undo' USING ERRCODE = 'UNDO1';
    EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
        INSERT INTO result SELECT change, c, r FROM unnest(calls, results) AS t(c, r);
    WHEN OTHERS THEN
        INSERT INTO result VALUES (change, 'refused', SQLSTATE);
    END;
END $$;
SET client_min_messages = error;
\set SHOW_CONTEXT never
SELECT try('SELECT 1');
SELECT call, result FROM result WHERE change = 'SELECT 1';
-- Every column of every table: of another type, or dropped and added again.
SELECT count(*) > 200 AS are_many, count(try(c.change)) > 200 AS are_tried FROM (
    SELECT format('ALTER TABLE session_guard.%I %s', c.relname, replace(change, '@', quote_ident(a.attname))) AS change
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN unnest(ARRAY['ALTER @ DROP DEFAULT, ALTER @ TYPE json USING to_json(''x''::text)', 'ALTER @ DROP DEFAULT, ALTER @ TYPE int USING 7',
        'ALTER @ DROP DEFAULT, ALTER @ TYPE name[] USING ''{a}''', 'DROP @ CASCADE, ADD @ text']) AS change
    WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind = 'r'
    ORDER BY c.relname, a.attnum, change OFFSET 0) AS c;
-- What came: nothing but values and the errors of PostgreSQL or of the extension that mean it.
SELECT DISTINCT change, call, result FROM result WHERE result ~ '^[0-9A-Z]{5}$' AND result !~ '^(22|23|42|0A000|55000)' AND call <> 'refused' ORDER BY 1, 2;
SELECT count(*) > 100 AS are_refused FROM result WHERE result ~ '^(22|23|42|55)' AND call <> 'refused';
-- Nowhere was a session let in that was revoked, or whose account is disabled; policies, timelines and events do not count for that.
SELECT DISTINCT change, call, result FROM result
WHERE call IN (SELECT call FROM result WHERE change = 'SELECT 1' AND result IN ('revoked', 'disabled')) AND result = 'valid' ORDER BY 1, 2;
SELECT DISTINCT change, call, result FROM result WHERE call ~ 'session_start\(3\)' AND result !~ '^NULL$|^[0-9A-Z]{5}$';
-- The server is the same.
SELECT pg_postmaster_start_time() < (SELECT min(at) FROM session_guard.event) AS is_the_same;
RESET client_min_messages;

-- Columns that are added count for nothing, a default is filled in; NOT NULL without one is PostgreSQL's error.
ALTER TABLE session_guard.epoch ADD note text DEFAULT 'x', ADD other int NOT NULL DEFAULT 7;
ALTER TABLE session_guard.event ADD note text DEFAULT 'x' NOT NULL;
UPDATE users SET active = false WHERE id = 7;
SELECT note, other FROM session_guard.epoch WHERE user_id = '7';
SELECT DISTINCT note FROM session_guard.event;
ALTER TABLE session_guard.event ALTER note DROP DEFAULT;
\set VERBOSITY terse
UPDATE users SET active = false WHERE id = 8;
\echo :LAST_ERROR_SQLSTATE
SELECT active FROM users WHERE id = 8;
ALTER TABLE session_guard.event ALTER note DROP NOT NULL, ALTER reason TYPE varchar(5) USING left(reason, 5);
UPDATE users SET active = false WHERE id = 8;
\echo :LAST_ERROR_SQLSTATE
SELECT active FROM users WHERE id = 8;
ALTER TABLE session_guard.event ALTER reason TYPE text;
UPDATE users SET active = false WHERE id = 8;
SELECT session_verdict(8, now()), session_verdict(1, :'login');

DROP EXTENSION pg_session_guard;
DROP TABLE users, role, result;
DROP FUNCTION try, result_of;
