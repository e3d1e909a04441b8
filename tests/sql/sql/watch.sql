-- A change in a watched table ends the sessions of the user that the row names.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, n <> 9 FROM generate_series(1, 20) AS n;
CREATE TABLE role (id int PRIMARY KEY, name text);
INSERT INTO role VALUES (1, 'admin'), (2, 'viewer');
CREATE TABLE user_role (id serial PRIMARY KEY, user_id bigint REFERENCES users ON DELETE CASCADE, role_id int REFERENCES role ON DELETE CASCADE, note json);
INSERT INTO user_role (user_id, role_id) SELECT n, 2 FROM generate_series(1, 20) AS n;
CREATE TABLE profile (user_id text PRIMARY KEY, mfa boolean, seen_at timestamptz);
INSERT INTO profile SELECT n::text, false FROM generate_series(1, 20) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.watch('user_role', 'user_id');
SELECT session_guard.attach('users');
SELECT session_guard.watch('user_role', 'user_id');
SELECT session_guard.watch('profile', 'user_id', '{mfa}');
SELECT schema_name, table_name, guard, user_id_column, columns FROM session_guard.watch ORDER BY table_name;
SELECT check_name, ok, detail FROM session_guard.health() WHERE check_name = 'watch' ORDER BY detail;
-- Whose stamp it was, and why.
CREATE FUNCTION stamps() RETURNS TABLE (user_id text, reason text) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM session_guard.epoch RETURNING *) SELECT user_id, reason FROM gone ORDER BY user_id::int
$$;
SELECT * FROM stamps();

-- INSERT, DELETE, and every change of a row; both users where it passes from one to the other.
SELECT session_start(1) AS login \gset
INSERT INTO user_role (user_id, role_id) VALUES (1, 1);
SELECT session_verdict(1, :'login'), session_verdict(1, session_start(1));
UPDATE user_role SET role_id = 1 WHERE user_id = 2;
UPDATE user_role SET user_id = 4 WHERE user_id = 3;
DELETE FROM user_role WHERE user_id = 5;
UPDATE user_role SET note = '{"a": 1}' WHERE user_id = 6;
SELECT * FROM stamps();
-- What changes nothing, or names nobody, stamps nobody.
UPDATE user_role SET role_id = role_id, note = note;
INSERT INTO user_role (user_id, role_id) VALUES (NULL, 1);
INSERT INTO profile VALUES ('abc', true), ('99', true);
SELECT * FROM stamps();
-- A column that is of no interest.
UPDATE profile SET seen_at = now();
SELECT * FROM stamps();
UPDATE profile SET mfa = true WHERE user_id = '7';
SELECT * FROM stamps();
-- By a cascade: a role is deleted; a user is deleted, whose own stamp it is.
DELETE FROM user_role WHERE user_id IS NULL;
DELETE FROM role WHERE id = 1;
SELECT * FROM stamps();
DELETE FROM users WHERE id = 8;
SELECT * FROM stamps();
-- As a replica, undone with a savepoint, and TRUNCATE for everybody.
SET session_replication_role = replica;
DELETE FROM user_role WHERE user_id = 10;
RESET session_replication_role;
BEGIN;
SAVEPOINT here;
DELETE FROM user_role WHERE user_id = 11;
ROLLBACK TO here;
COMMIT;
SELECT * FROM stamps();
SELECT session_start(11) AS login \gset
TRUNCATE user_role;
SELECT reason FROM session_guard.guard_epoch;
SELECT session_verdict(11, :'login');
SELECT DISTINCT reason FROM session_guard.event WHERE reason ~ 'related' ORDER BY 1;

-- Users are stamped before COMMIT, once each: until then their sessions count, also for who has written.
TRUNCATE session_guard.event;
SELECT session_start(11) AS login \gset
BEGIN;
INSERT INTO user_role (user_id, role_id) VALUES (11, 2), (11, 2), (12, 2);
SELECT session_verdict(11, :'login');
SAVEPOINT here;
INSERT INTO user_role (user_id, role_id) VALUES (13, 2);
ROLLBACK TO here;
INSERT INTO user_role (user_id, role_id) VALUES (11, 2);
UPDATE profile SET mfa = NOT mfa WHERE user_id = '11';
COMMIT;
SELECT session_verdict(11, :'login');
SELECT user_id, reason FROM session_guard.event ORDER BY id;
SELECT * FROM stamps();
-- By a related table and by the user's own row: each has its reason.
BEGIN;
UPDATE users SET active = false WHERE id = 14;
INSERT INTO user_role (user_id, role_id) VALUES (14, 2);
COMMIT;
SELECT user_id, reason FROM session_guard.event WHERE user_id = '14' GROUP BY 1, 2 ORDER BY min(id);
UPDATE users SET active = true WHERE id = 14;
-- The related table's stamp raised the epoch once more only if a login could have come between.
SELECT * FROM stamps() WHERE reason !~ 'related';
-- A constraint trigger that runs after the stamps, and changes a related table once more.
CREATE TABLE deferred (user_id int);
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO user_role (user_id, role_id) VALUES (NEW.user_id, 2); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
BEGIN;
INSERT INTO deferred VALUES (15);
COMMIT;
BEGIN;
INSERT INTO user_role (user_id, role_id) VALUES (16, 2);
INSERT INTO deferred VALUES (16), (17);
COMMIT;
SELECT * FROM stamps();
DROP TABLE deferred;
DROP FUNCTION late;

-- A column that is renamed is followed.
ALTER TABLE profile RENAME user_id TO account;
UPDATE profile SET mfa = NOT mfa WHERE account = '12';
SELECT * FROM stamps();
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
SELECT session_guard.reconcile('users');
SELECT user_id_column, columns FROM session_guard.watch WHERE table_name = 'profile';
-- The triggers taken off: health says so, reconcile puts them back, and nobody can know what has happened meanwhile.
ALTER TABLE profile DISABLE TRIGGER USER;
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
UPDATE profile SET mfa = NOT mfa WHERE account = '13';
SELECT * FROM stamps();
SELECT session_guard.reconcile('users');
UPDATE profile SET mfa = NOT mfa WHERE account = '13';
SELECT * FROM stamps();
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
-- The remedy for the watch does not hide that either.
ALTER TABLE profile DISABLE TRIGGER USER;
SELECT DISTINCT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok \gset
:remedy
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.reconcile(), session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
-- Nor does it who puts them back by hand.
ALTER TABLE profile DISABLE TRIGGER USER;
SELECT string_agg(format('ENABLE ALWAYS TRIGGER %I', tgname), ', ') AS enable FROM pg_trigger WHERE tgrelid = 'profile'::regclass AND NOT tgisinternal \gset
ALTER TABLE profile :enable;
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.reconcile(), session_guard.revoke_all_sessions() IS NOT NULL AS all_are_out;
SELECT check_name, ok, remedy FROM session_guard.health() WHERE NOT ok;
-- Dropped, and made again.
DROP TABLE profile;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
CREATE TABLE profile (account int PRIMARY KEY, mfa boolean);
SELECT DISTINCT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok \gset
\echo :remedy
:remedy
SELECT table_name, columns FROM session_guard.watch ORDER BY table_name;
INSERT INTO profile VALUES (14, true);
SELECT * FROM stamps();

-- Mistakes.
CREATE FUNCTION mistake(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;
\x on
SELECT * FROM mistake($$SELECT session_guard.watch(NULL, 'id')$$);
SELECT * FROM mistake($$SELECT session_guard.watch('user_role', 'nothing')$$);
SELECT * FROM mistake($$SELECT session_guard.watch('user_role', 'note')$$);
SELECT * FROM mistake($$SELECT session_guard.watch('user_role', 'user_id', '{nothing}')$$);
SELECT * FROM mistake($$SELECT session_guard.watch('user_role', 'user_id', users => 'role')$$);
CREATE TABLE staff (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('staff');
SELECT * FROM mistake($$SELECT session_guard.watch('user_role', 'user_id', users => 'staff')$$);
SELECT session_guard.detach('staff', forget => true);
DROP TABLE staff;
SELECT * FROM mistake($$SELECT session_guard.unwatch('role')$$);
SELECT * FROM mistake($$SELECT session_guard.stamp_related()$$);
\x off
CREATE ROLE regress_other;
GRANT USAGE ON SCHEMA session_guard TO regress_other;
GRANT EXECUTE ON FUNCTION session_guard.watch, session_guard.unwatch TO regress_other;
SET ROLE regress_other;
SELECT session_guard.watch('user_role', 'user_id');
SELECT session_guard.unwatch('user_role');
RESET ROLE;
GRANT UPDATE ON users TO regress_other;
SET ROLE regress_other;
SELECT session_guard.watch('user_role', 'user_id');
RESET ROLE;
-- Who may change the related table stamps by it, and needs no more.
GRANT INSERT ON user_role TO regress_other;
GRANT USAGE ON SEQUENCE user_role_id_seq TO regress_other;
SET ROLE regress_other;
INSERT INTO user_role (user_id, role_id) VALUES (15, 2);
RESET ROLE;
SELECT * FROM stamps();

-- Off again.
SELECT session_guard.unwatch('user_role');
INSERT INTO user_role (user_id, role_id) VALUES (16, 2);
SELECT * FROM stamps();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'user_role'::regclass AND NOT tgisinternal;
-- A guard that is detached has its watches still, and puts them back when it is attached.
SELECT session_guard.detach('users');
SELECT table_name FROM session_guard.watch;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'profile'::regclass AND NOT tgisinternal;
UPDATE profile SET mfa = NOT mfa;
SELECT session_guard.attach('users');
UPDATE profile SET mfa = NOT mfa;
SELECT * FROM stamps();
SELECT session_guard.detach('users', forget => true);
SELECT count(*) FROM session_guard.watch;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'profile'::regclass AND NOT tgisinternal;

-- What was changed before detach() is stamped. The extension is not dropped before that is.
CREATE TABLE left_over (user_id int);
INSERT INTO left_over VALUES (11);
SELECT session_guard.attach('users'), session_guard.watch('left_over', 'user_id');
SELECT session_start(11) AS login \gset
BEGIN;
DELETE FROM left_over;
SELECT session_guard.detach('users');
COMMIT;
SELECT session_guard.attach('users');
SELECT session_verdict(11, :'login');
-- Also where it is undone with a savepoint, and the change is not.
SELECT session_start(11) AS login \gset
BEGIN;
INSERT INTO left_over VALUES (11);
SAVEPOINT here;
SELECT session_guard.detach('users');
ROLLBACK TO here;
COMMIT;
SELECT session_verdict(11, :'login');
BEGIN;
TRUNCATE left_over;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_done;
DROP EXTENSION pg_session_guard CASCADE;
ROLLBACK;
DROP EXTENSION pg_session_guard CASCADE;
DROP TABLE left_over;
DROP TABLE users, role, user_role, profile;
DROP FUNCTION stamps, mistake;
DROP ROLE regress_other;
