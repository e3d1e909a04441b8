-- A guard follows renames of its table and columns, and never takes another table or column for its own.
CREATE TABLE users (id int PRIMARY KEY, active boolean, legacy int UNIQUE);
INSERT INTO users VALUES (1, true, 101), (2, false, 102);
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users');
CREATE FUNCTION hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
    RETURN 'run: SELECT 1 AS no_error;';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN hint;
END $$;
CREATE FUNCTION statement_of(statement text) RETURNS text LANGUAGE sql AS
    $$ SELECT substring(hint_of(statement) FROM 'run: (.*)$') $$;

-- The active column renamed, and another put in its place.
ALTER TABLE users RENAME active TO enabled;
SELECT session_verdict(1, now()), session_verdict(2, now());
ALTER TABLE users ADD active boolean DEFAULT true;
SELECT session_verdict(2, now());
SELECT session_start(2);
SELECT session_guard.reconcile('users');
-- The app's own writes go on, and the triggers with what they watch.
UPDATE users SET enabled = false WHERE id = 1;
SELECT reason FROM session_guard.epoch WHERE user_id = '1';
SELECT check_name, ok, detail FROM session_guard.health() WHERE guard = 'public.users';
SELECT statement_of('SELECT session_valid(1, now())') AS statement \gset
\echo :statement
:statement
SELECT session_verdict(1, now()), session_verdict(2, now());
-- Or the other is meant.
SELECT session_guard.attach('users', active_column => 'active');
SELECT session_verdict(1, now() + interval '3 s'), session_verdict(2, now() + interval '3 s');

-- The id column renamed, and another put in its place.
ALTER TABLE users RENAME id TO number;
ALTER TABLE users RENAME legacy TO id;
SELECT session_verdict(1, now());
SELECT session_guard.reconcile('users');
-- attach leaves it where it is, by its new name; the other has to be named.
SELECT statement_of($$SELECT session_guard.attach('users', 'id')$$);
SELECT session_guard.attach('users');
SELECT id_column FROM session_guard.guard;
SELECT session_verdict(1, now() + interval '3 s');
ALTER TABLE users RENAME id TO legacy;
ALTER TABLE users RENAME number TO id;
SELECT session_guard.reconcile('users');

-- The table renamed, and another put in its place: calls that mean it by default must not go on with
-- the old one, while the app writes to the new.
ALTER TABLE users RENAME TO users_old;
SELECT session_valid(1, NULL::timestamptz), session_verdict(1, now() + interval '3 s');
CREATE TABLE users (LIKE users_old INCLUDING ALL);
INSERT INTO users SELECT * FROM users_old;
SELECT session_verdict(1, now() + interval '3 s');
SELECT check_name, ok, detail FROM session_guard.health() WHERE check_name = 'table';
UPDATE users_old SET active = false WHERE id = 1;
SELECT statement_of('SELECT session_valid(1, now())') AS statement \gset
\echo :statement
:statement
SELECT name, is_default FROM session_guard.guard;
SELECT session_verdict(1, now() - interval '1 h'), session_verdict(1, session_start(1));
-- The old one has none; as a guard of its own it begins anew.
SELECT session_valid('users_old', 1, now());
SELECT session_guard.attach('users_old');
SELECT name, is_default FROM session_guard.guard ORDER BY name;
SELECT session_guard.detach('users_old', forget => true);

-- What was disabled, enabled and disabled again while the triggers were off is stamped by reconcile.
UPDATE users SET active = false WHERE id = 1;
SELECT session_guard.epoch_of(1) AS before \gset
ALTER TABLE users DISABLE TRIGGER USER;
UPDATE users SET active = true WHERE id = 1;
UPDATE users SET active = false WHERE id = 1;
SELECT session_guard.reconcile();
SELECT session_guard.epoch_of(1) > :'before' AS is_stamped;
SELECT session_guard.reconcile();
-- What was enabled again meanwhile nobody can know: health says so, until everybody is put out.
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'unwatched_changes';
SELECT remedy FROM session_guard.health() WHERE check_name = 'unwatched_changes' \gset
\o /dev/null
:remedy
\o
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'unwatched_changes';
SELECT reason FROM session_guard.guard_epoch WHERE guard = 'public.users';
SELECT session_verdict(2, NULL::timestamptz), session_verdict(2, session_start(2));
SELECT session_guard.revoke_all_sessions(reason => 'breach') > now() AS is_ahead;
SELECT reason FROM session_guard.guard_epoch WHERE guard = 'public.users';

-- A trigger that was made again with another clause is not taken for the guard's.
DROP TRIGGER session_guard_update ON users;
CREATE TRIGGER session_guard_update AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id AND OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION session_guard.stamp('public.users', 'true');
ALTER TABLE users ENABLE ALWAYS TRIGGER session_guard_update;
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'armed';
SELECT session_guard.attach('users');
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'armed';

-- A table that a crash would empty.
ALTER TABLE users SET UNLOGGED;
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'table';
ALTER TABLE users SET LOGGED;

-- reconcile of all guards repairs those that can be repaired, and warns of the rest.
CREATE TABLE others (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('others');
ALTER TABLE others DISABLE TRIGGER USER;
DROP TABLE users;
\set VERBOSITY terse
SELECT session_guard.reconcile();
\set VERBOSITY default
SELECT guard, ok, detail FROM session_guard.health() WHERE check_name = 'armed';

-- Without one of the further columns the guard is a guard still.
ALTER TABLE others ADD password text, ADD otp text;
SELECT session_guard.attach('others', revoke_on => '{password, otp}');
ALTER TABLE others DROP otp CASCADE;
SELECT session_verdict('others', 1, now());
SELECT statement_of('SELECT session_valid(''others'', 1, now())') AS statement \gset
\echo :statement
:statement
SELECT session_verdict('others', 1, now());


-- A table renamed in a schema that the caller has no rights on: an answer all the same.
CREATE SCHEMA hidden;
CREATE TABLE hidden.members (id int PRIMARY KEY, active boolean);
INSERT INTO hidden.members VALUES (1, true);
SELECT session_guard.attach('hidden.members', is_default => true);
CREATE ROLE regress_asker;
GRANT EXECUTE ON FUNCTION session_valid(integer, timestamptz) TO regress_asker;
ALTER TABLE hidden.members RENAME TO people;
SET ROLE regress_asker;
SELECT session_valid(1, now());
RESET ROLE;
DROP TABLE hidden.people;
SET ROLE regress_asker;
\set VERBOSITY terse
SELECT session_valid(1, now());
\set VERBOSITY default
RESET ROLE;
-- So also for a name that was written by hand and is none.
UPDATE session_guard.guard SET schema_name = '"hid''den', table_name = '' WHERE name = 'hidden.members';
SELECT hint_of('SELECT session_valid(1, now())') AS hint;
SELECT ok, detail FROM session_guard.health() WHERE guard = 'hidden.members';
DELETE FROM session_guard.guard WHERE name = 'hidden.members';

-- A schema renamed, and another put in its place.
CREATE SCHEMA app;
CREATE TABLE app.people (id int PRIMARY KEY, active boolean);
INSERT INTO app.people VALUES (1, true);
SELECT session_guard.attach('app.people', is_default => true);
SELECT session_valid(1, now());
ALTER SCHEMA app RENAME TO app_old;
SELECT session_valid(1, now());
CREATE SCHEMA app;
CREATE TABLE app.people (id int PRIMARY KEY, active boolean);
SELECT session_valid(1, now());
DROP SCHEMA app CASCADE;
SELECT session_valid(1, now());
SELECT session_guard.detach('app_old.people', forget => true);
DROP SCHEMA app_old CASCADE;

-- A guard that is detached under its table's new name comes back under it, with its epochs and options; it was not watched
-- meanwhile either.
INSERT INTO others VALUES (1, true), (2, true);
SELECT session_guard.attach('others', max_session_age => '1 d');
SELECT session_start('others', 1) AS login \gset
UPDATE others SET active = false;
UPDATE others SET active = true;
ALTER TABLE others RENAME TO renamed;
ALTER TABLE renamed RENAME id TO number;
ALTER TABLE renamed RENAME active TO enabled;
SELECT session_guard.detach('renamed');
SELECT session_guard.attach('renamed');
SELECT session_verdict('renamed', 1, :'login');
SELECT name, table_name, id_column, active_column, revoke_on, max_session_age FROM session_guard.guard WHERE table_name = 'renamed';
SELECT ok FROM session_guard.health() WHERE guard = 'public.others' AND check_name = 'unwatched_changes';
-- Everybody was put out before that, not since: a margin does not hide it.
DELETE FROM session_guard.unwatched;
SELECT session_guard.configure(stamp_margin => '1 h');
SELECT session_guard.revoke_all_sessions('renamed') > now() + interval '50 min' AS is_ahead;
SELECT session_guard.configure(stamp_margin => '0');
ALTER TABLE renamed DISABLE TRIGGER USER;
SELECT session_guard.reconcile('renamed');
SELECT ok FROM session_guard.health() WHERE guard = 'public.others' AND check_name = 'unwatched_changes';

DROP EXTENSION pg_session_guard;
DROP TABLE users_old, renamed;
DROP SCHEMA hidden;
DROP ROLE regress_asker;
DROP FUNCTION hint_of, statement_of;
