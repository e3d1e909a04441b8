-- Rows that the extension's owner, who is no superuser, writes about tables of others: also where a superuser does what a hint
-- says, nothing is read, watched or locked that the table's owner has not agreed to.
SELECT current_database() AS home \gset
CREATE ROLE regress_dba CREATEDB;
CREATE ROLE regress_alice;
CREATE ROLE regress_bob;
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
CREATE SCHEMA al AUTHORIZATION regress_alice;
CREATE SCHEMA bob AUTHORIZATION regress_bob;
GRANT USAGE ON SCHEMA al TO regress_dba;
GRANT CREATE ON SCHEMA public TO regress_dba;
SET ROLE regress_alice;
CREATE TABLE al.secret (id int PRIMARY KEY, active boolean, ssn text UNIQUE, is_vip boolean);
INSERT INTO al.secret VALUES (1, true, '078-05-1120', true), (2, true, '219-09-9999', false);
SET ROLE regress_bob;
CREATE TABLE bob.role (user_id int, ssn text);
SET ROLE regress_dba;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
CREATE TABLE role (user_id int);
INSERT INTO users VALUES (1, true), (2, false);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users'), session_guard.watch('role', 'user_id');

-- A guard's columns.
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES ('al.secret', 'al', 'secret', 'regress_alice', 'ssn', 'is_vip');
RESET ROLE;
SELECT detail, remedy FROM session_guard.health() WHERE guard = 'al.secret';
SELECT session_guard.attach('al.secret');
SELECT id_column, active_column FROM session_guard.guard WHERE name = 'al.secret';

-- How its status column is read. The triggers say what alice has agreed to.
SET ROLE regress_dba;
SELECT session_verdict('al.secret', 1, now());
DELETE FROM session_guard.guard WHERE name = 'al.secret';
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column, active_when) VALUES ('al.secret', 'al', 'secret', 'regress_alice', 'id', 'active', 'false');
SELECT session_verdict('al.secret', 1, now());
SELECT detail FROM session_guard.health() WHERE guard = 'al.secret';
RESET ROLE;
SELECT session_verdict('al.secret', 1, now());
SELECT session_guard.reconcile() >= 0 AS is_done;
SELECT session_guard.attach('al.secret');
SELECT active_when FROM session_guard.guard WHERE name = 'al.secret';
SELECT session_verdict('al.secret', 1, now());
-- The other way round, and as alice means it.
SELECT session_guard.attach('al.secret', active_when => 'false');
SELECT session_verdict('al.secret', 1, session_start('al.secret', 1));
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'session_guard_update' AND tgrelid = 'al.secret'::regclass;
SET ROLE regress_dba;
DELETE FROM session_guard.guard WHERE name = 'al.secret';
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES ('al.secret', 'al', 'secret', 'regress_alice', 'id', 'active');
SELECT session_verdict('al.secret', 1, now());
DELETE FROM session_guard.guard WHERE name = 'al.secret';

-- A watch of somebody else's table.
INSERT INTO session_guard.watch VALUES ('public.users', 'bob.role', 'bob', 'role', 'regress_bob', 'ssn', NULL),
    ('public.users', 'public.role', 'bob', 'other', 'regress_bob', 'ssn', NULL);
SET ROLE regress_bob;
CREATE TABLE bob.other (ssn text);
RESET ROLE;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
SELECT session_guard.reconcile() >= 0 AS is_done;
SELECT session_guard.attach('users');
SELECT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'session_guard.stamp_related()'::regprocedure GROUP BY 1;
-- Nor is it locked.
SET ROLE regress_dba;
BEGIN;
SELECT session_guard.detach('users');
RESET ROLE;
SELECT relation::regclass FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relation IN ('bob.role'::regclass, 'bob.other'::regclass, 'role'::regclass);
COMMIT;
SET ROLE regress_dba;
SELECT session_guard.attach('users');
RESET ROLE;
-- With bob's consent it is watched, by the column that bob names.
GRANT USAGE ON SCHEMA session_guard TO regress_bob;
GRANT EXECUTE ON FUNCTION session_guard.watch TO regress_bob;
GRANT UPDATE ON users TO regress_bob;
SET ROLE regress_bob;
SELECT session_guard.watch('bob.role', 'user_id', users => 'users');
RESET ROLE;
SELECT name, table_name, user_id_column FROM session_guard.watch ORDER BY schema_name, table_name;
ALTER TABLE bob.role DISABLE TRIGGER session_guard_related_insert;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok AND detail LIKE 'bob.role%';
SELECT session_guard.reconcile() >= 0 AS is_done;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND detail LIKE '%bob.role%';
-- A name by which bob's watch seems to have been renamed, and another of his tables to be meant.
SET ROLE regress_dba;
DELETE FROM session_guard.watch WHERE name = 'bob.role';
INSERT INTO session_guard.watch VALUES ('public.users', 'bob.role', 'bob', 'other', 'regress_bob', 'ssn', NULL);
RESET ROLE;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND detail LIKE '%bob.role%';
SELECT session_guard.reconcile() >= 0 AS is_done;
SELECT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'session_guard.stamp_related()'::regprocedure GROUP BY 1 ORDER BY 1;
DELETE FROM session_guard.watch WHERE schema_name = 'bob';
DROP TABLE bob.role;

-- Tables that were restored as another role's: with their triggers, as by pg_restore --no-owner, and without, where the tables
-- were made before a restore of the data.
UPDATE session_guard.watch SET table_owner = 'regress_alice';
SET ROLE regress_dba;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch';
SELECT remedy FROM session_guard.health() WHERE check_name = 'watch' \gexec
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch';
DROP TABLE role;
CREATE TABLE role (user_id int);
RESET ROLE;
UPDATE session_guard.watch SET table_owner = 'regress_alice';
SET ROLE regress_dba;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch';
SELECT remedy FROM session_guard.health() WHERE check_name = 'watch' \gexec
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch';
SELECT name, table_name, table_owner FROM session_guard.watch;
RESET ROLE;

\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_dba, regress_alice, regress_bob;
