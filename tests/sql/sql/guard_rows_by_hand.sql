-- Rows of session_guard.guard that the extension's owner writes give no look into a table whose owner has not attached it,
-- also for a table that is made later.
SELECT current_database() AS home \gset
CREATE ROLE regress_dba CREATEDB;
CREATE ROLE regress_owner;
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
CREATE SCHEMA s AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA s TO regress_dba;
SET ROLE regress_owner;
CREATE TABLE s.secret (id int PRIMARY KEY, is_traitor boolean, code text UNIQUE);
INSERT INTO s.secret VALUES (1, true, 'x'), (2, false, 'y');
SET ROLE regress_dba;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT count(*) FROM s.secret;

-- By its name, as it is or as it will be.
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES
    ('s.secret', 's', 'secret', 'regress_owner', 'id', 'is_traitor'), ('later', 's', 'later', 'regress_owner', 'id', 'is_traitor'),
    ('as dba', 's', 'secret', 'regress_dba', 'code', 'is_traitor');
SET ROLE regress_owner;
CREATE TABLE s.later (id int PRIMARY KEY, is_traitor boolean);
INSERT INTO s.later VALUES (1, true);
SET ROLE regress_dba;
CREATE FUNCTION answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE statement INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT statement, answer('SELECT ' || statement) FROM unnest(ARRAY[
    $$session_valid('s.secret', 1, now())$$, $$session_verdict('s.secret', 1, now())$$, $$session_verdict('s.secret', 99, now())$$,
    $$session_verdict('s.secret', 'x', now())$$, $$session_start('s.secret', 1) IS NULL$$, $$session_guard.epoch_of('s.secret', 1)$$,
    $$session_guard.revoke_sessions(1, users => 's.secret')$$, $$session_guard.revoke_all_sessions('s.secret')$$,
    $$session_guard.reconcile('s.secret')$$, $$session_guard.attach('s.secret')$$, $$session_guard.detach('s.secret')$$,
    $$session_guard.watch('s.secret', 'id', users => 's.later')$$, $$session_verdict('s.later', 1, now())$$, $$session_valid(1, now())$$]) AS statement;
-- Nor do health and prune, which the extension's owner calls, read it.
SELECT check_name, ok, detail ~ '[0-9]' AS counts FROM session_guard.health() WHERE guard IS NOT NULL AND NOT ok;
INSERT INTO session_guard.epoch VALUES ('s.secret', '1', '2000-01-01', 'by hand', '2000-01-01'), ('s.secret', '99', '2000-01-01', 'by hand', '2000-01-01');
SELECT * FROM session_guard.prune(epochs_older_than => '30 days', dry_run => true);

-- Nor does it tell what the owner has hidden after attaching other columns: the triggers say which may be read.
SET client_min_messages = warning;
RESET ROLE;
DELETE FROM session_guard.guard;
GRANT USAGE ON SCHEMA session_guard TO regress_owner;
GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.detach TO regress_owner;
SET ROLE regress_owner;
ALTER TABLE s.secret ADD active boolean DEFAULT true;
SELECT session_guard.attach('s.secret');
SET ROLE regress_dba;
SELECT answer($$SELECT session_verdict('s.secret', 1, now())$$);
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES ('other', 's', 'secret', 'regress_owner', 'code', 'is_traitor');
RESET ROLE;
UPDATE session_guard.guard SET active_column = 'is_traitor' WHERE name = 's.secret';
SET ROLE regress_dba;
SELECT answer($$SELECT session_verdict('s.secret', 1, now())$$);
RESET ROLE;
UPDATE session_guard.guard SET active_column = 'active', id_column = 'code' WHERE name = 's.secret';
SET ROLE regress_dba;
SELECT answer($$SELECT session_verdict('s.secret', 'x', now())$$);
-- Triggers that the owner took off are a consent taken back, as far as the extension's owner has no rights of the table's.
RESET ROLE;
UPDATE session_guard.guard SET id_column = 'id' WHERE name = 's.secret';
SET ROLE regress_dba;
SELECT answer($$SELECT session_verdict('s.secret', 1, now())$$);
SET ROLE regress_owner;
DROP TRIGGER session_guard_update ON s.secret;
DROP TRIGGER session_guard_insert ON s.secret;
DROP TRIGGER session_guard_delete ON s.secret;
DROP TRIGGER session_guard_truncate ON s.secret;
SET ROLE regress_dba;
SELECT answer($$SELECT session_verdict('s.secret', 1, now())$$);
-- A row that was there before the owner attached says nothing of what the owner means by attach without columns.
RESET ROLE;
DELETE FROM session_guard.guard;
SET ROLE regress_dba;
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES ('planted', 's', 'secret', 'regress_owner', 'code', 'is_traitor');
SET ROLE regress_owner;
RESET client_min_messages;
SELECT session_guard.attach('s.secret');
SELECT session_guard.detach('s.secret'), session_guard.attach('s.secret', 'id', 'active');
SET ROLE regress_dba;
SELECT code, answer(format('SELECT session_verdict(''s.secret'', %L, now())', code)) FROM unnest(ARRAY['x', 'y', '1']) AS code;
RESET ROLE;

\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_dba, regress_owner;
