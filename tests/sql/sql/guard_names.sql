-- A guard goes by its name: through renames, beside a view of its table's old name, and not to a stranger's table of that
-- name, which inherits neither its place as the default nor its epochs.
CREATE ROLE regress_owner;
CREATE ROLE regress_mallory;
GRANT CREATE ON SCHEMA public TO regress_owner, regress_mallory;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
GRANT USAGE ON SCHEMA session_guard TO regress_owner, regress_mallory;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO regress_owner, regress_mallory;
CREATE FUNCTION statement_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
    RETURN 'SELECT 1 AS no_error;';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN substring(hint FROM '(?:run|by): (.*)$');
END $$;

-- Renamed without a pause: a view under the old name, through which the app goes on. The guard goes on, too.
CREATE TABLE users (id int PRIMARY KEY, active boolean DEFAULT true);
INSERT INTO users VALUES (1), (2);
SELECT session_guard.attach('users');
SELECT session_start(1) AS login \gset
BEGIN;
ALTER TABLE users RENAME TO people;
CREATE VIEW users AS SELECT * FROM people;
COMMIT;
SELECT session_verdict(1, :'login'), session_verdict('people', 1, :'login');
-- The view itself is none; what the error says to run does not try to attach it.
SELECT coalesce(statement_of($$SELECT session_valid('users', 1, now())$$), '') ~ 'attach..public.users' AS attaches_the_view;
UPDATE users SET active = false WHERE id = 1;
SELECT session_verdict(1, :'login');
UPDATE users SET active = true WHERE id = 1;
SELECT session_verdict(1, :'login'), session_verdict(1, session_start(1));
\c -
SELECT session_verdict(1, :'login'), session_verdict(1, session_start(1));
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
:remedy
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT name, table_name FROM session_guard.guard;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'people'::regclass AND tgenabled = 'A';
-- The guard's name, by which its epochs are kept, is what it was.
SELECT guard, user_id FROM session_guard.epoch;
DROP VIEW users;
ALTER TABLE people RENAME TO users;
SELECT session_guard.reconcile();

-- Swapped for a copy: calls do not go on with either, and the app's writes go on. The remedy moves the guard.
CREATE TABLE users_new (id int PRIMARY KEY, active boolean DEFAULT true);
INSERT INTO users_new SELECT * FROM users;
BEGIN;
ALTER TABLE users RENAME TO users_old;
ALTER TABLE users_new RENAME TO users;
COMMIT;
SELECT session_verdict(1, now());
\echo :LAST_ERROR_SQLSTATE
SELECT session_start(1);
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.revoke_sessions(1);
\echo :LAST_ERROR_SQLSTATE
SELECT session_verdict('users_old', 1, now());
\echo :LAST_ERROR_SQLSTATE
UPDATE users SET active = active;
UPDATE users_old SET active = NOT active WHERE id = 2;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
:remedy
SELECT session_verdict(1, :'login'), session_verdict(1, session_start(1));
SELECT name, table_name, is_default FROM session_guard.guard;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'users_old'::regclass;
SELECT DISTINCT check_name FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
SELECT DISTINCT check_name FROM session_guard.health() WHERE NOT ok;
-- The statement of the error does the same, and back again.
BEGIN;
ALTER TABLE users RENAME TO users_new;
ALTER TABLE users_old RENAME TO users;
COMMIT;
SELECT statement_of('SELECT session_valid(1, now())') AS statement \gset
\echo :statement
:statement
SELECT session_verdict(1, :'login'), session_verdict(1, session_start(1));
-- Or it is to stay where it is.
BEGIN;
ALTER TABLE users RENAME TO users_old;
ALTER TABLE users_new RENAME TO users;
COMMIT;
SELECT session_guard.attach('users_old');
SELECT session_verdict(1, :'login'), session_verdict('users_old', 1, session_start(1));
-- The other table gets a guard of its own, whose name is another.
SELECT session_guard.attach('users');
SELECT name, table_name, is_default FROM session_guard.guard ORDER BY name;
SELECT tgrelid::regclass, encode(tgargs, 'escape') AS argument FROM pg_trigger WHERE tgname = 'session_guard_update' ORDER BY 1;
SELECT session_verdict('users', 1, :'login');
SELECT session_guard.detach('users', forget => true), session_guard.detach('users_old', forget => true);
DROP TABLE users, users_old;

-- A stranger's table of the name of one that is gone.
SET ROLE regress_owner;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (2, true);
SELECT session_guard.attach('users', is_default => true, max_session_age => '7 days');
UPDATE users SET active = NOT active WHERE id = 1;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
CREATE TABLE role (user_id int);
SELECT session_guard.watch('role', 'user_id');
DROP TABLE users, role;
SET ROLE regress_mallory;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (42, true);
CREATE TABLE role (user_id int);
-- Not by its name alone, nor by attach.
RESET ROLE;
SELECT session_valid(42, now());
\echo :LAST_ERROR_SQLSTATE
SELECT session_valid('users', 42, now());
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mallory;
SELECT session_guard.reconcile('users');
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.attach('users');
SELECT session_guard.attach('users', is_default => true);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT name, table_name, table_owner, is_default, max_session_age FROM session_guard.guard ORDER BY name;
SET ROLE regress_mallory;
SELECT session_valid(42, now());
\echo :LAST_ERROR_SQLSTATE
-- Its own guard has its own answers and none of the epochs, which it cannot forget either.
SELECT session_verdict('users', 1, '2000-01-01'::timestamptz), session_guard.epoch_of('users', 1) IS NULL AS has_no_epoch;
SELECT session_guard.detach('users', forget => true);
SELECT session_guard.detach('users', forget => true);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT guard, user_id FROM session_guard.epoch ORDER BY guard, user_id;
SELECT guard FROM session_guard.guard_epoch;
-- reconcile, also by a superuser, puts no trigger on it, nor on the stranger's related table.
\set VERBOSITY terse
SELECT session_guard.reconcile();
\set VERBOSITY default
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('users'::regclass, 'role'::regclass);
INSERT INTO role VALUES (1);
SELECT count(*) FROM session_guard.event WHERE reason = 'related:role';
-- Its owner makes it again, and has it all back.
DROP TABLE users;
SET ROLE regress_owner;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (2, true);
SET client_min_messages = error;
SELECT session_guard.attach('users');
SELECT session_verdict(1, now() - interval '1 day'), session_verdict(1, session_start(1)), session_verdict(1, now() - interval '8 days');
RESET ROLE;
SELECT name, is_default, max_session_age FROM session_guard.guard;
-- But not the stranger's related table, whoever calls.
SELECT session_guard.reconcile();
SELECT session_guard.attach('users');
RESET client_min_messages;
SET ROLE regress_mallory;
INSERT INTO role VALUES (1), (2);
RESET ROLE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'role'::regclass;
SELECT count(*) FROM session_guard.event WHERE reason = 'related:role';
SELECT ok FROM session_guard.health() WHERE check_name = 'watch';
DROP TABLE role;
-- A table that is given to somebody else is guarded on, and known as theirs once they attach it.
RESET ROLE;
ALTER TABLE users OWNER TO regress_mallory;
SELECT session_verdict(1, session_start(1));
SET ROLE regress_owner;
SELECT session_guard.detach('users');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mallory;
SELECT session_guard.attach('users');
RESET ROLE;
SELECT name, table_owner FROM session_guard.guard;

-- A squatted ab_user is not taken at CREATE EXTENSION: it belongs to neither the creator nor the database's owner.
SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
SET ROLE regress_mallory;
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
RESET ROLE;
CREATE EXTENSION pg_session_guard;
SELECT count(*) FROM session_guard.guard;
-- What the superuser attaches is the default.
CREATE TABLE members (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('members');
GRANT USAGE ON SCHEMA session_guard TO regress_mallory;
GRANT EXECUTE ON FUNCTION session_guard.attach TO regress_mallory;
SET ROLE regress_mallory;
SELECT session_guard.attach('ab_user');
SELECT session_guard.attach('ab_user', is_default => true);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT name, is_default FROM session_guard.guard ORDER BY name;

DROP EXTENSION pg_session_guard;
DROP TABLE users, ab_user, members;
DROP FUNCTION statement_of;
REVOKE CREATE ON SCHEMA public FROM regress_owner, regress_mallory;
DROP ROLE regress_owner, regress_mallory;
