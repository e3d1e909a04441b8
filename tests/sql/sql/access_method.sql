-- Tables of another access method: the extension's own are heaps, whatever default_table_access_method says, and a table that is
-- given another method, and a heap again, brings no session back.
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
SET default_table_access_method = other;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT c.relname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind = 'r' AND a.amname <> 'heap';
SHOW default_table_access_method;

-- The app's are not. What the hint says makes heaps of them.
CREATE TABLE users (id int PRIMARY KEY, active boolean, password text);
INSERT INTO users SELECT n, true, 'x' FROM generate_series(1, 20) AS n;
CREATE TABLE role (user_id int, name text);
CREATE FUNCTION statement_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
    RETURN 'SELECT 1 AS no_error;';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN coalesce(substring(hint FROM 'run: (.*)$'), hint);
END $$;
SELECT session_guard.attach('users');
SELECT statement_of($$SELECT session_guard.attach('users')$$) AS statement \gset
\echo :statement
:statement
SELECT session_guard.attach('users', revoke_on => '{password}');
SELECT session_guard.watch('role', 'user_id');
SELECT statement_of($$SELECT session_guard.watch('role', 'user_id')$$) AS statement \gset
:statement
SELECT session_guard.watch('role', 'user_id');
CREATE TABLE login AS SELECT id, session_start(id) AS login FROM users;
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET active = true WHERE id = 1;
UPDATE users SET password = 'y' WHERE id = 2;
INSERT INTO role VALUES (3, 'admin');
SELECT session_guard.revoke_sessions(4) IS NOT NULL, session_guard.revoke_tokens('session', 's') IS NOT NULL AS are_revoked;
CREATE VIEW verdicts AS SELECT string_agg(id::text, ',' ORDER BY id) AS ids, session_verdict(id, login) AS verdict FROM login GROUP BY 2 ORDER BY min(id);
SELECT * FROM verdicts;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;

-- The users table, for a while: nobody is let in, the app's own writes go on, and afterwards it is told that they were not watched.
ALTER TABLE users SET ACCESS METHOD other;
SELECT session_verdict(5, now());
\echo :LAST_ERROR_SQLSTATE
SELECT session_start(5);
\echo :LAST_ERROR_SQLSTATE
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'table';
SET client_min_messages = error;
UPDATE users SET active = false WHERE id = 5;
UPDATE users SET active = true WHERE id = 5;
DELETE FROM users WHERE id = 6;
INSERT INTO users VALUES (6, true);
RESET client_min_messages;
SELECT remedy FROM session_guard.health() WHERE check_name = 'table' \gset
:remedy
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
\o /dev/null
:remedy
\o
SELECT * FROM verdicts;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;

-- The watched table.
UPDATE login SET login = session_start(id);
ALTER TABLE role SET ACCESS METHOD other;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
INSERT INTO role VALUES (7, 'admin');
ALTER TABLE role SET ACCESS METHOD heap;
INSERT INTO role VALUES (8, 'admin');
SELECT * FROM verdicts;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;

-- The extension's own, each: all goes on, there and back.
CREATE FUNCTION set_method(method name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE own regclass;
BEGIN
    FOR own IN SELECT oid FROM pg_class WHERE relnamespace = 'session_guard'::regnamespace AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('ALTER TABLE %s SET ACCESS METHOD %I', own, method);
    END LOOP;
END $$;
SELECT set_method('other');
SELECT * FROM verdicts;
UPDATE users SET active = false WHERE id = 9;
UPDATE users SET active = true WHERE id = 9;
INSERT INTO role VALUES (10, 'admin');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE users SET password = 'z' WHERE id IN (9, 11);
COMMIT;
SELECT session_guard.revoke_sessions(12) IS NOT NULL, session_guard.revoke_tokens('session', 't') IS NOT NULL AS are_revoked;
SELECT * FROM verdicts;
SELECT set_method('heap');
SELECT * FROM verdicts;
UPDATE users SET active = false WHERE id = 13;
UPDATE users SET active = true WHERE id = 13;
SELECT * FROM verdicts;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
SELECT * FROM verdicts;
SELECT reason, count(*) FROM session_guard.event GROUP BY 1 ORDER BY 1;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;

RESET default_table_access_method;
DROP VIEW verdicts;
DROP EXTENSION pg_session_guard;
DROP TABLE users, role;
DROP TABLE login;
DROP FUNCTION set_method, statement_of;
DROP ACCESS METHOD other;
