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

-- Watched again, as the remedies say: nothing is left of the old names, also where two tables have exchanged theirs.
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
UPDATE teams SET two_factor = true WHERE account = 3;
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
