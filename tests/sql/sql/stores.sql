-- add_store: a stamp ends the sessions where the app itself keeps them.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean DEFAULT true, password text);
SELECT session_guard.attach('users', revoke_on => '{password}');
INSERT INTO users SELECT g FROM generate_series(1, 9) AS g;
UPDATE users SET active = false WHERE id = 9;
-- Rows that are deleted. The session of nobody stays, and so do those of others.
CREATE TABLE session (sid serial PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, data text);
INSERT INTO session (user_id) SELECT u FROM generate_series(1, 9) AS u, generate_series(1, 2);
INSERT INTO session (user_id) VALUES (NULL);
SELECT session_guard.add_store('session', 'user_id');
-- Who is disabled already has none any more.
CREATE VIEW sessions AS SELECT coalesce(string_agg(coalesce(user_id::text, '-') || 'x' || n, ' ' ORDER BY user_id), 'none') AS sessions FROM (SELECT user_id, count(*) AS n FROM session GROUP BY 1) AS s;
SELECT * FROM sessions;
UPDATE users SET active = false WHERE id = 1;
SELECT * FROM sessions;
UPDATE users SET password = 'new' WHERE id = 2;
SELECT session_guard.revoke_sessions(3) IS NOT NULL AS is_stamped;
DELETE FROM users WHERE id = 4;
UPDATE users SET id = 50 WHERE id = 5;
SELECT * FROM sessions;
-- An update that ends nothing ends nothing.
UPDATE users SET active = true, password = NULL WHERE id = 6;
SELECT * FROM sessions;
-- With the transaction: what is rolled back, or rolled back to a savepoint, was not.
BEGIN; UPDATE users SET active = false WHERE id = 6; ROLLBACK;
BEGIN; SAVEPOINT s; UPDATE users SET active = false WHERE id = 6; ROLLBACK TO s; UPDATE users SET active = false WHERE id = 7; COMMIT;
SELECT * FROM sessions;
BEGIN; UPDATE users SET active = false WHERE id = 6; PREPARE TRANSACTION 'stores';
SELECT * FROM sessions;
COMMIT PREPARED 'stores';
SELECT * FROM sessions;
-- Also where the guard is taken off in the same transaction.
BEGIN; UPDATE users SET active = true WHERE id = 6; COMMIT;
INSERT INTO session (user_id) VALUES (6);
BEGIN; UPDATE users SET active = false WHERE id = 6; SELECT session_guard.detach('users'); COMMIT;
SELECT * FROM sessions;
SELECT session_guard.attach('users', is_default => true);
-- A watched table, and everybody.
CREATE TABLE role (user_id int, name text);
SELECT session_guard.watch('role', 'user_id');
INSERT INTO role VALUES (8, 'admin');
SELECT * FROM sessions;
INSERT INTO session (user_id) VALUES (2), (3), (8);
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_stamped;
SELECT * FROM sessions;
SELECT check_name, ok, detail FROM session_guard.health() WHERE check_name = 'store';

-- A column that is raised, of each type: exactly to the time of the stamp, in a row that is made where there is none.
CREATE TABLE by_timestamptz (user_id int PRIMARY KEY REFERENCES users, revoked_at timestamptz);
CREATE TABLE by_timestamp (user_id bigint UNIQUE, revoked_at timestamp, created_on timestamp DEFAULT now());
CREATE TABLE by_seconds (user_id text UNIQUE, revoked_at bigint);
CREATE TABLE by_small_seconds (user_id smallint UNIQUE, revoked_at int);
SELECT session_guard.add_store('by_timestamptz', 'user_id', 'revoked_at'), session_guard.add_store('by_timestamp', 'user_id', 'revoked_at'),
       session_guard.add_store('by_seconds', 'user_id', 'revoked_at'), session_guard.add_store('by_small_seconds', 'user_id', 'revoked_at');
SELECT user_id FROM by_timestamptz ORDER BY 1;
CREATE TABLE before (at timestamptz);
INSERT INTO before VALUES (clock_timestamp());
UPDATE users SET active = false WHERE id = 2;
SELECT t.revoked_at BETWEEN at AND clock_timestamp() AS is_exact, ts.revoked_at AT TIME ZONE 'UTC' BETWEEN at AND clock_timestamp() AS is_utc,
       s.revoked_at BETWEEN extract(epoch FROM at) AND extract(epoch FROM clock_timestamp()) + 1 AS is_rounded_up, i.revoked_at = s.revoked_at OR i.revoked_at = s.revoked_at + 1 AS is_int
FROM before, by_timestamptz AS t, by_timestamp AS ts, by_seconds AS s, by_small_seconds AS i WHERE t.user_id = 2 AND ts.user_id = 2 AND s.user_id = '2' AND i.user_id = 2;
-- It only rises, and a margin for the clocks of app servers counts.
UPDATE by_timestamptz SET revoked_at = 'infinity' WHERE user_id = 2;
SELECT session_guard.configure(stamp_margin => '1 hour');
UPDATE users SET active = true WHERE id IN (2, 3);
SELECT user_id, revoked_at > clock_timestamp() + interval '59 min' AS has_margin, revoked_at = 'infinity' AS is_kept FROM by_timestamptz WHERE user_id IN (2, 3) ORDER BY 1;
SELECT session_guard.configure(stamp_margin => '0');
-- Everybody, whether there was a row or not.
DELETE FROM by_timestamp;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_stamped;
SELECT (SELECT array_agg(id::bigint ORDER BY id) FROM users) = (SELECT array_agg(user_id ORDER BY user_id) FROM by_timestamp) AS has_everybody;
-- A foreign key keeps nobody from being deleted: no row is made for who goes, and none for an id that comes again.
DELETE FROM by_timestamptz; DELETE FROM by_timestamp; DELETE FROM by_seconds; DELETE FROM by_small_seconds;
DELETE FROM users WHERE id = 2;
INSERT INTO users VALUES (2);
BEGIN; UPDATE users SET active = false WHERE id = 3; DELETE FROM users WHERE id = 3; COMMIT;
UPDATE users SET id = 80 WHERE id = 8;
SELECT (SELECT count(*) FROM by_timestamptz) AS t, (SELECT string_agg(user_id::text, ' ') FROM by_timestamp) AS ts;
-- TRUNCATE ends what is there, and makes no rows.
INSERT INTO by_seconds VALUES ('6', NULL), ('7', 5);
DELETE FROM by_timestamptz;
SELECT session_guard.remove_store('by_timestamptz');
DROP TABLE by_timestamptz;
TRUNCATE users CASCADE;
SELECT user_id, revoked_at > 1000000 AS is_raised FROM by_seconds ORDER BY 1;
SELECT session_guard.remove_store('by_timestamp'), session_guard.remove_store('by_seconds'), session_guard.remove_store('by_small_seconds');

-- More users than are remembered.
INSERT INTO users SELECT g FROM generate_series(1, 30000) AS g;
INSERT INTO session (user_id) SELECT id FROM users;
BEGIN;
SAVEPOINT s; UPDATE users SET active = false WHERE id > 25000; ROLLBACK TO s;
UPDATE users SET active = false WHERE id <= 20000;
COMMIT;
SELECT count(*), min(user_id) FROM session;
UPDATE users SET active = true WHERE id <= 20000;
SELECT count(*) FROM session_guard.store_failure;
TRUNCATE session;

-- A store that fails: the stamp stands, and the client and health() are told. reconcile ends what was not ended.
RESET client_min_messages;
INSERT INTO session (user_id) VALUES (1), (2), (2), (3);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today' USING ERRCODE = 'P0099'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION refuse();
UPDATE users SET active = false WHERE id = 2;
SELECT session_verdict(2, now());
SELECT * FROM sessions;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok;
SELECT guard, schema_name, table_name, reason FROM session_guard.store_failure;
DROP TRIGGER refuse ON session;
SELECT session_guard.reconcile('users');
SELECT * FROM sessions;
SELECT ok FROM session_guard.health() WHERE check_name = 'store';
-- A constraint that is deferred is checked before the COMMIT, and fails the store alone.
CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON session DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO session (user_id) VALUES (1), (3);
UPDATE users SET active = false WHERE id = 3;
SELECT * FROM sessions;
DROP TRIGGER refuse ON session;
SELECT session_guard.reconcile('users');
SELECT * FROM sessions;
-- What a trigger of the store raises, leaves open or says at length fails no stamp.
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now' USING ERRCODE = 'query_canceled'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO session (user_id) VALUES (4), (5);
UPDATE users SET active = false WHERE id = 4;
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '%', repeat('x', 100000); END $$;
SET client_min_messages = error;
UPDATE users SET active = false WHERE id = 5;
-- reconcile that fails, too, forgets nobody.
SELECT session_guard.reconcile('users');
RESET client_min_messages;
SELECT length(reason) < 1000 AS is_short FROM session_guard.store_failure;
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; EXECUTE format('DECLARE c%s CURSOR FOR SELECT 1', OLD.sid); RETURN OLD; END $$;
SELECT session_guard.reconcile('users');
SELECT * FROM sessions;
SELECT count(*) AS failures FROM session_guard.store_failure;
SELECT name FROM pg_cursors WHERE name LIKE 'c%';
DROP TRIGGER refuse ON session;
UPDATE users SET active = true WHERE id IN (4, 5);
-- Nor does add_store.
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today' USING ERRCODE = 'P0099'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO session (user_id) VALUES (4);
SELECT session_guard.revoke_sessions(4) IS NOT NULL AS is_stamped;
DROP TRIGGER refuse ON session;
SELECT session_guard.add_store('session', 'user_id');
SELECT * FROM sessions;
-- Nor does reconcile leave out who was disabled before a store was added that failed then.
SELECT session_guard.remove_store('session');
INSERT INTO session (user_id) VALUES (2), (6);
CREATE TRIGGER refuse BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT session_guard.add_store('session', 'user_id');
DROP TRIGGER refuse ON session;
SELECT session_guard.reconcile('users');
SELECT * FROM sessions;
DELETE FROM session WHERE user_id = 6;
-- Of a store with a row for each user, too, where one was disabled since.
INSERT INTO users VALUES (-1), (-2);
CREATE TABLE logged_out (user_id int PRIMARY KEY, at timestamptz);
CREATE TRIGGER refuse BEFORE INSERT ON logged_out FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT session_guard.add_store('logged_out', 'user_id', 'at');
UPDATE users SET active = false WHERE id = -1;
SELECT session_guard.revoke_sessions(-2) IS NOT NULL AS is_stamped;
DROP TRIGGER refuse ON logged_out;
SELECT session_guard.reconcile('users');
SELECT user_id FROM logged_out WHERE user_id < 0 ORDER BY user_id;
SELECT detail FROM session_guard.health() WHERE check_name = 'store' AND NOT ok;
SELECT session_guard.remove_store('logged_out');
DROP TABLE logged_out;
DELETE FROM users WHERE id < 0;
-- A watched table takes no store's place, whatever it is called.
CREATE SCHEMA "store public";
CREATE TABLE "store public".session (user_id int);
SELECT session_guard.watch('"store public".session', 'user_id');
INSERT INTO session (user_id) VALUES (7);
INSERT INTO "store public".session VALUES (7);
SELECT * FROM sessions;
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'store';
SELECT session_guard.unwatch('"store public".session');
DROP SCHEMA "store public" CASCADE;
-- A trigger that disables one account after the other: each is stamped, and what is not ended is told.
CREATE FUNCTION disable_next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE public.users SET active = false WHERE id = OLD.user_id + 1; RETURN OLD; END $$;
CREATE TRIGGER disable_next AFTER DELETE ON session FOR EACH ROW EXECUTE FUNCTION disable_next();
INSERT INTO session (user_id) SELECT n FROM generate_series(101, 130) AS n;
UPDATE users SET active = false WHERE id = 101;
SELECT count(*) FILTER (WHERE NOT active) AS disabled, count(*) FILTER (WHERE NOT active AND session_guard.epoch_of(id) IS NULL) AS without_epoch, (SELECT count(*) FROM session WHERE user_id BETWEEN 101 AND 130) AS sessions FROM users WHERE id BETWEEN 101 AND 130;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
DROP TRIGGER disable_next ON session;
SELECT session_guard.reconcile('users');
SELECT count(*) AS of_disabled FROM session JOIN users ON id = user_id WHERE NOT active;
DELETE FROM session WHERE user_id > 100;
-- Each store has one guard.
CREATE TABLE staff (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('staff');
SELECT session_guard.add_store('session', 'user_id', users => 'staff');
DROP TABLE staff;
DELETE FROM session_guard.guard WHERE name = 'public.staff';
-- Another table that has taken the name is not the store, nor does the store go on as it was.
ALTER TABLE session RENAME TO session_old;
CREATE TABLE session (sid int, user_id int);
SET client_min_messages = error;
UPDATE users SET active = false WHERE id = 9;
RESET client_min_messages;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok;
BEGIN;
SELECT session_guard.remove_store('session_old');
SELECT count(*) FROM session_guard.store;
ROLLBACK;
DROP TABLE session;
ALTER TABLE session_old RENAME TO session;
SELECT session_guard.reconcile('users');
-- Renames are followed.
INSERT INTO session (user_id) VALUES (4), (5), (6), (7);
ALTER TABLE session RENAME user_id TO account_id;
ALTER TABLE session RENAME TO moved;
UPDATE users SET active = false WHERE id = 4;
SELECT * FROM sessions;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok \gx
SELECT remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok \gset
:remedy
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'store';
UPDATE users SET active = false WHERE id = 5;
SELECT * FROM sessions;
ALTER TABLE moved RENAME TO session;
-- A column that is gone, a table of another role, and a table that is gone.
CREATE ROLE regress_stranger;
ALTER TABLE session DROP COLUMN account_id CASCADE;
UPDATE users SET active = false WHERE id = 6;
ALTER TABLE session ADD user_id int;
ALTER TABLE session OWNER TO regress_stranger;
UPDATE users SET active = true WHERE id = 6;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok;
DROP TABLE session;
UPDATE users SET active = false WHERE id = 6;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' AND NOT ok;
DROP ROLE regress_stranger;
CREATE TABLE session (sid serial PRIMARY KEY, user_id int);
INSERT INTO session (user_id) VALUES (5), (7);
SELECT session_guard.add_store('session', 'user_id');
SELECT user_id FROM session;
DELETE FROM session_guard.store WHERE table_name = 'moved';
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'store';
UPDATE users SET active = true WHERE id = 6;

-- Refused.
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN concat_ws(E'\n', state || ': ' || regexp_replace(message, 'pg_temp_\d+', 'pg_temp'), nullif(detail, ''), hint);
END $$;
CREATE VIEW a_view AS SELECT * FROM session;
CREATE TABLE parted (user_id int, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE a_partition PARTITION OF parted DEFAULT;
CREATE TEMP TABLE a_temporary (user_id int);
CREATE TABLE odd (user_id uuid, at timestamptz, d date, n int NOT NULL, b boolean, k int UNIQUE);
\pset format unaligned
\pset tuples_only on
SELECT refusal($$SELECT session_guard.add_store(NULL, 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('session', NULL)$$);
SELECT refusal($$SELECT session_guard.add_store('session', 'nothing')$$);
SELECT refusal($$SELECT session_guard.add_store('users', 'id')$$);
SELECT refusal($$SELECT session_guard.add_store('a_view', 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('a_partition', 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('a_temporary', 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('session_guard.event', 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('pg_authid', 'oid')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'user_id')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'b')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'k', 'd')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'n', 'at')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'k', 'at')$$);
SELECT refusal($$SELECT session_guard.add_store('odd', 'k', 'at', 'session')$$);
SELECT refusal($$SELECT session_guard.remove_store('odd')$$);
SELECT refusal($$SELECT session_guard.remove_store(NULL)$$);
SELECT refusal($$SELECT session_guard.add_store('parted', 'user_id')$$);
\pset tuples_only off
\pset format aligned
INSERT INTO parted VALUES (6, now()), (7, now());
UPDATE users SET active = false WHERE id = 6;
SELECT user_id FROM parted;

SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
DROP TABLE users, session, by_timestamp, by_seconds, by_small_seconds, role, before, parted, a_temporary, odd CASCADE;
DROP FUNCTION refuse, refusal;
