-- Watches follow their tables and columns through renames, each its own.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
CREATE TABLE role (user_id int, name text);
CREATE TABLE profile (user_id int PRIMARY KEY, mfa boolean, seen_at timestamptz);
INSERT INTO profile SELECT n, false FROM generate_series(1, 9) AS n;
CREATE TABLE member (member_id bigint, team text);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users'), session_guard.watch('role', 'user_id'), session_guard.watch('profile', 'user_id', '{mfa}'),
       session_guard.watch('member', 'member_id', '{}');
CREATE FUNCTION stamps() RETURNS TABLE (user_id text, reason text) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM session_guard.epoch RETURNING *) SELECT user_id, reason FROM gone ORDER BY user_id::int
$$;

-- Each is renamed, and its columns.
CREATE SCHEMA app;
ALTER TABLE role RENAME TO roles;
ALTER TABLE profile RENAME TO profiles;
ALTER TABLE member RENAME TO members;
ALTER TABLE profiles SET SCHEMA app;
ALTER TABLE app.profiles RENAME user_id TO account;
ALTER TABLE app.profiles RENAME mfa TO two_factor;
ALTER TABLE members RENAME member_id TO id;
INSERT INTO roles VALUES (1, 'admin');
UPDATE app.profiles SET two_factor = true, seen_at = now() WHERE account = 2;
UPDATE app.profiles SET seen_at = now() WHERE account = 3;
INSERT INTO members VALUES (4, 'a');
UPDATE members SET team = 'b';
SELECT * FROM stamps();
SELECT check_name, ok FROM session_guard.health() WHERE check_name = 'watch';
SELECT session_guard.reconcile();
SELECT name, schema_name, table_name, user_id_column, columns FROM session_guard.watch ORDER BY schema_name, table_name;
SELECT check_name, ok, detail FROM session_guard.health() WHERE check_name IN ('watch', 'unwatched_changes') ORDER BY check_name, detail;
INSERT INTO roles VALUES (5, 'admin');
UPDATE app.profiles SET two_factor = true, seen_at = now() WHERE account = 6;
UPDATE app.profiles SET seen_at = now() WHERE account = 7;
UPDATE members SET id = 8;
SELECT * FROM stamps();

-- Renamed in a circle: each still its own.
BEGIN;
ALTER TABLE roles RENAME TO tmp;
ALTER TABLE members RENAME TO roles;
ALTER TABLE tmp RENAME TO members;
COMMIT;
INSERT INTO members VALUES (1, 'admin');
INSERT INTO roles VALUES (2, 'a');
SELECT * FROM stamps();
SELECT session_guard.reconcile();
SELECT name, schema_name, table_name, user_id_column, columns FROM session_guard.watch ORDER BY schema_name, table_name;
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
INSERT INTO members VALUES (3, 'admin');
INSERT INTO roles VALUES (4, 'a');
SELECT * FROM stamps();

-- Detached and attached under their new names.
ALTER TABLE members RENAME TO role;
ALTER TABLE app.profiles RENAME TO profile;
SELECT session_guard.detach('users');
INSERT INTO role VALUES (5, 'admin');
SELECT * FROM stamps();
SELECT session_guard.attach('users');
INSERT INTO role VALUES (6, 'admin');
UPDATE app.profile SET two_factor = false WHERE account = 2;
SELECT * FROM stamps();
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';

-- The watched table is swapped for a copy. Its triggers stay on the old one, and what is written to the copy stamps nobody: that is
-- told, and neither watch nor reconcile decides which is meant. The remedy moves the watch.
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_settled;
DELETE FROM session_guard.epoch;
CREATE TABLE role_new (LIKE role INCLUDING ALL);
BEGIN;
ALTER TABLE role RENAME TO role_old;
ALTER TABLE role_new RENAME TO role;
COMMIT;
INSERT INTO role VALUES (1, 'admin');
INSERT INTO role_old VALUES (2, 'admin');
SELECT * FROM stamps();
SELECT session_guard.watch('role', 'user_id');
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.unwatch('role');
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.reconcile();
SELECT detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
:remedy
INSERT INTO role VALUES (3, 'admin');
INSERT INTO role_old VALUES (4, 'admin');
SELECT * FROM stamps();
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgrelid IN ('role'::regclass, 'role_old'::regclass) GROUP BY 1;
-- What was written meanwhile nobody knows.
SELECT check_name, remedy FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_settled;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
-- Or it is to stay where it is, and the other is watched besides.
BEGIN;
ALTER TABLE role RENAME TO role_new;
ALTER TABLE role_old RENAME TO role;
COMMIT;
SELECT session_guard.watch('role_new', 'user_id'), session_guard.watch('role', 'user_id');
INSERT INTO role VALUES (5, 'admin');
INSERT INTO role_new VALUES (6, 'admin');
SELECT * FROM stamps();
SELECT table_name FROM session_guard.watch ORDER BY 1;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.unwatch('role');
DROP TABLE role;
ALTER TABLE role_new RENAME TO role;
SELECT session_guard.reconcile();

-- Both are swapped, the users table and the watched one: the remedy of the guard moves both.
CREATE TABLE users_new (LIKE users INCLUDING ALL);
CREATE TABLE role_new (LIKE role INCLUDING ALL);
INSERT INTO users_new SELECT * FROM users;
BEGIN;
ALTER TABLE users RENAME TO users_old;
ALTER TABLE role RENAME TO role_old;
ALTER TABLE users_new RENAME TO users;
ALTER TABLE role_new RENAME TO role;
COMMIT;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE check_name = 'table' \gset
:remedy
INSERT INTO role VALUES (7, 'admin');
INSERT INTO role_old VALUES (8, 'admin');
UPDATE app.profile SET two_factor = NOT two_factor WHERE account = 9;
SELECT * FROM stamps();
SELECT table_name FROM session_guard.watch ORDER BY 1;
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgrelid IN ('users'::regclass, 'role'::regclass, 'users_old'::regclass, 'role_old'::regclass) GROUP BY 1 ORDER BY 1;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_settled;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
DROP TABLE users_old, role_old;

-- Only the users table: its watches stay. So they do through a detach and an ALTER.
CREATE TABLE users_new (LIKE users INCLUDING ALL);
INSERT INTO users_new SELECT * FROM users;
BEGIN;
ALTER TABLE users RENAME TO users_old;
ALTER TABLE users_new RENAME TO users;
COMMIT;
SELECT remedy FROM session_guard.health() WHERE check_name = 'table' \gset
:remedy
INSERT INTO role VALUES (1, 'admin');
SELECT * FROM stamps();
SELECT session_guard.detach('users');
ALTER TABLE users ALTER id TYPE bigint;
ALTER TABLE role ALTER user_id TYPE bigint;
SELECT session_guard.attach('users');
INSERT INTO role VALUES (2, 'admin');
UPDATE app.profile SET two_factor = NOT two_factor WHERE account = 3;
SELECT * FROM stamps();
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
DROP TABLE users_old;

-- A table of another role that has the name is none that is meant.
CREATE ROLE regress_mallory;
ALTER TABLE role RENAME TO role_old;
CREATE TABLE role (LIKE role_old);
ALTER TABLE role OWNER TO regress_mallory;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
SELECT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok \gset
:remedy
INSERT INTO role VALUES (4, 'admin');
INSERT INTO role_old VALUES (5, 'admin');
SELECT * FROM stamps();
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
DROP TABLE role;
DROP ROLE regress_mallory;
ALTER TABLE role_old RENAME TO role;
SELECT session_guard.reconcile();
-- Done as the remedies say: nothing is left of the old names, also where two tables have exchanged theirs.
ALTER TABLE app.profile SET SCHEMA public;
ALTER TABLE roles RENAME TO teams;
SELECT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok ORDER BY remedy \gexec
SELECT name, schema_name, table_name FROM session_guard.watch ORDER BY name;
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
BEGIN;
ALTER TABLE teams RENAME TO tmp;
ALTER TABLE profile RENAME TO teams;
ALTER TABLE tmp RENAME TO profile;
COMMIT;
SELECT session_guard.watch('teams', 'account', '{two_factor}', 'users');
SELECT name, schema_name, table_name FROM session_guard.watch ORDER BY name;
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
UPDATE teams SET two_factor = NOT two_factor WHERE account = 3;
INSERT INTO profile VALUES (4, 'b');
SELECT * FROM stamps();

-- A column that is gone: the app's writes go on, health says so, and unwatch settles it.
SET client_min_messages = error;
ALTER TABLE role DROP user_id CASCADE;
INSERT INTO role VALUES ('x');
RESET client_min_messages;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
SELECT DISTINCT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok \gset
:remedy
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name = 'watch';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'role'::regclass;

DROP EXTENSION pg_session_guard;
DROP TABLE users, role, profile, teams;
DROP SCHEMA app;
DROP FUNCTION stamps;
