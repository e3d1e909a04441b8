-- The extension's own tables, catalogs and what is no table cannot be guarded, watched or made a default; the users table is
-- not watched beside itself.
CREATE TABLE users (id int PRIMARY KEY, active boolean, password text);
INSERT INTO users VALUES (1, true);
CREATE TABLE role (user_id int);
CREATE VIEW a_view AS SELECT * FROM users;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM users;
CREATE TABLE a_partitioned (user_id int) PARTITION BY RANGE (user_id);
CREATE TABLE a_partition PARTITION OF a_partitioned DEFAULT;
CREATE TEMP TABLE a_temporary (user_id int);
CREATE UNLOGGED TABLE an_unlogged (user_id int);
CREATE SEQUENCE a_sequence;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');
CREATE FUNCTION mistake(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;

-- Each table of the extension, by each function that takes one.
SELECT c.relname, w.code AS watch, a.code AS attach, d.code AS detach, u.code AS unwatch, v.code AS valid, r.code AS reconcile
FROM pg_class AS c,
    mistake(format('SELECT session_guard.watch(%L, (SELECT attname FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0 LIMIT 1))', c.oid::regclass, c.oid::regclass)) AS w,
    mistake(format('SELECT session_guard.attach(%L)', c.oid::regclass)) AS a, mistake(format('SELECT session_guard.detach(%L)', c.oid::regclass)) AS d,
    mistake(format('SELECT session_guard.unwatch(%L)', c.oid::regclass)) AS u, mistake(format('SELECT session_valid(%L::regclass, 1, now())', c.oid::regclass)) AS v,
    mistake(format('SELECT session_guard.reconcile(%L)', c.oid::regclass)) AS r
WHERE c.relnamespace = 'session_guard'::regnamespace AND c.relkind IN ('r', 'S', 'i') AND c.relname !~ '_key$|_pkey$|_of_|event_(at|id)$' ORDER BY c.relname COLLATE "C";
SELECT message, hint FROM mistake($$SELECT session_guard.watch('session_guard.event', 'user_id')$$);

-- What else cannot be watched.
SELECT r AS related, m.code, regexp_replace(m.message, 'pg_temp_\d+', 'pg_temp') AS message
FROM unnest(ARRAY['users', 'a_view', 'a_matview', 'a_partitioned', 'a_partition', 'a_temporary', 'an_unlogged', 'a_sequence', 'users_pkey', 'pg_class', 'pg_authid', 'information_schema.tables']) AS r,
    mistake(format('SELECT session_guard.watch(%L, %L)', r, CASE WHEN r ~ 'users|view' THEN 'id' ELSE 'user_id' END)) AS m;
SELECT hint FROM mistake($$SELECT session_guard.watch('users', 'id')$$);
-- Nor without a column, or by the guard that is none.
SELECT statement, m.code, m.message FROM unnest(ARRAY[$$watch('role', NULL)$$, $$watch('role', '')$$, $$watch('role', 'user_id', '{NULL}')$$, $$watch('role', 'user_id', ARRAY[]::name[])$$,
    $$watch('role', 'ctid')$$, $$watch('role', 'user_id', '{user_id,user_id}')$$, $$watch('role', 'user_id', '{{user_id},{user_id}}')$$, $$watch('role', 'user_id', users => 'role')$$, $$watch(0, 'user_id')$$]) AS statement,
    mistake('SELECT session_guard.' || statement) AS m;
SELECT table_name FROM session_guard.watch;
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgname LIKE 'session_guard%' AND tgrelid::regclass::text !~ '^session_guard' GROUP BY 1 ORDER BY 1;
-- A row that was written by hand makes none of them one either: stamps go on.
INSERT INTO session_guard.watch VALUES ('public.users', 'x', 'session_guard', 'event', current_user, 'user_id'), ('public.users', 'y', 'pg_catalog', 'pg_class', current_user, 'oid');
SET client_min_messages = error;
SELECT session_guard.reconcile();
SELECT session_guard.attach('users');
RESET client_min_messages;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'session_guard_related%' AND tgrelid <> 'role'::regclass;
UPDATE users SET active = false;
SELECT session_verdict(1, now());
SELECT guard, check_name, detail ~ 'event|pg_class' AS names_it FROM session_guard.health() WHERE NOT ok AND check_name = 'watch' ORDER BY detail;

DROP EXTENSION pg_session_guard;
DROP VIEW a_view;
DROP MATERIALIZED VIEW a_matview;
DROP TABLE users, role, a_partitioned, a_temporary, an_unlogged;
DROP SEQUENCE a_sequence;
DROP FUNCTION mistake;
