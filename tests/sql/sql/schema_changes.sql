-- DDL on the users table revives no session, and an account that changes by DDL is stamped or refused.
-- Reads as every_statement does; where a call raises, its SQLSTATE stands for the verdict.
CREATE TABLE users (id int PRIMARY KEY, name text, active boolean DEFAULT true);
INSERT INTO users SELECT n, 'user' || n FROM generate_series(1, 70) AS n;
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users');

CREATE FUNCTION sqlstate_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION verdict(who bigint, login_at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN session_verdict(who, login_at);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION verdict_of_new_login(who bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE login timestamptz;
BEGIN
    login := session_start(who);
    RETURN CASE WHEN login IS NULL THEN 'no login' ELSE session_verdict(who, login) END;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE login (user_id bigint PRIMARY KEY, login_at timestamptz, before text, during text, committed text);
CREATE PROCEDURE log_in(VARIADIC ids int[]) LANGUAGE sql AS $$
    DELETE FROM login;
    INSERT INTO login SELECT id, session_start(id) FROM unnest(ids) AS id;
    UPDATE login SET before = verdict(user_id, login_at);
$$;
\set during 'UPDATE login SET during = verdict(user_id, login_at);'
\set commit :during ' COMMIT; UPDATE login SET committed = verdict(user_id, login_at);'
\set after 'SELECT user_id, before, during, committed, verdict(user_id, login_at) AS after, verdict_of_new_login(user_id) AS new_login FROM login ORDER BY user_id;'
\set all_out 'SELECT session_guard.revoke_all_sessions() > now() AS all_are_out;'
\set health 'SELECT guard, check_name, ok, detail FROM session_guard.health() WHERE guard IS NOT NULL ORDER BY guard;'

-- The extension dropped: there is nobody to ask, and the triggers are gone. Made again it knows of no epoch, and only
-- revoke_all_sessions puts out whom it cannot know of.
CALL log_in(1, 2); BEGIN;
DROP EXTENSION pg_session_guard;
UPDATE users SET active = false WHERE id = 1;
:commit
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'users'::regclass;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');
UPDATE users SET active = true WHERE id = 1;
:after
:all_out
:after

-- Children. The guard covers the parent's own rows: those of a child are nobody's, whatever is done to them.
CREATE TABLE members () INHERITS (users);
INSERT INTO members (id) VALUES (1), (101);
CALL log_in(1, 2, 101); BEGIN;
UPDATE users SET active = false WHERE id IN (2, 101);
:commit
UPDATE users SET active = true WHERE id IN (2, 101);
:after
-- A row of the same id in a child changes nothing for the parent's.
CALL log_in(1); BEGIN;
UPDATE members SET active = false WHERE id = 1;
DELETE FROM members WHERE id = 1;
:commit
:after
-- A row that moves into a child is gone.
CALL log_in(3); BEGIN;
WITH moved AS (DELETE FROM ONLY users WHERE id = 3 RETURNING *) INSERT INTO members SELECT * FROM moved;
:commit
WITH moved AS (DELETE FROM members WHERE id = 3 RETURNING *) INSERT INTO users SELECT * FROM moved;
:after
:health
-- A child is guarded by a guard of its own, which wants a key of its own.
SELECT sqlstate_of('SELECT session_guard.attach(''members'')');
ALTER TABLE members ADD PRIMARY KEY (id);
SELECT session_guard.attach('members', is_default => true);
CALL log_in(4, 101); BEGIN;
UPDATE users SET active = false WHERE id IN (4, 101);
SELECT session_verdict('users', 4, now()), session_verdict('users', 101, now());
:commit
UPDATE users SET active = true WHERE id IN (4, 101);
:after
-- TRUNCATE of the parent reaches it, TRUNCATE ONLY does not.
CREATE TABLE kept AS SELECT * FROM ONLY users;
INSERT INTO members (id) VALUES (102);
CALL log_in(102); BEGIN;
TRUNCATE ONLY users;
:commit
INSERT INTO users SELECT * FROM kept;
:after
CALL log_in(102); BEGIN;
TRUNCATE users;
:commit
INSERT INTO users SELECT * FROM kept;
INSERT INTO members (id) VALUES (102);
:after
SELECT guard, reason FROM session_guard.guard_epoch ORDER BY guard;
-- On its own again.
CALL log_in(102); BEGIN;
ALTER TABLE members NO INHERIT users;
UPDATE members SET active = false WHERE id = 102;
:commit
UPDATE members SET active = true WHERE id = 102;
:after
SELECT session_guard.detach('members', forget => true), session_guard.attach('users', is_default => true);
DROP TABLE members;

-- The guarded table as a child: a change of the parent reaches it.
CREATE TABLE everybody (id int, name text, active boolean);
ALTER TABLE everybody ALTER id SET NOT NULL;
ALTER TABLE users INHERIT everybody;
CALL log_in(5, 6, 7); BEGIN;
UPDATE everybody SET active = false WHERE id = 5;
UPDATE everybody SET id = 106 WHERE id = 6;
DELETE FROM everybody WHERE id = 7;
:commit
UPDATE everybody SET active = true WHERE id = 5;
UPDATE everybody SET id = 6 WHERE id = 106;
INSERT INTO users VALUES (7);
:after
CALL log_in(8); BEGIN;
TRUNCATE everybody;
:commit
INSERT INTO users SELECT * FROM kept;
:after
ALTER TABLE users NO INHERIT everybody;
DROP TABLE everybody;

-- As a partition, which attach would not take: its triggers go on, also where a row leaves it or comes to it.
CREATE TABLE everybody (id int NOT NULL, name text, active boolean) PARTITION BY RANGE (id);
CREATE TABLE others PARTITION OF everybody FOR VALUES FROM (200) TO (300);
ALTER TABLE everybody ATTACH PARTITION users FOR VALUES FROM (0) TO (200);
CALL log_in(9, 10, 11); BEGIN;
UPDATE everybody SET active = false WHERE id = 9;
UPDATE everybody SET id = 210 WHERE id = 10;
DELETE FROM everybody WHERE id = 11;
:commit
UPDATE everybody SET active = true WHERE id = 9;
UPDATE everybody SET id = 10 WHERE id = 210;
INSERT INTO everybody VALUES (11, 'user11', true);
:after
CALL log_in(12); BEGIN;
TRUNCATE everybody;
:commit
INSERT INTO everybody SELECT * FROM kept;
:after
SELECT check_name, ok, detail FROM session_guard.health() WHERE NOT ok;
ALTER TABLE everybody DETACH PARTITION users;
DROP TABLE everybody;
:health

-- The type of a guarded column cannot change, not even to the same one, as long as the guard is attached.
SELECT sqlstate_of('ALTER TABLE users ALTER active TYPE text'),
       sqlstate_of('ALTER TABLE users ALTER active TYPE boolean USING NOT active'),
       sqlstate_of('ALTER TABLE users ALTER id TYPE bigint');
-- Detached meanwhile. Those who were dead stay so; who is disabled by the way is stamped at the end.
CALL log_in(13, 14, 15);
UPDATE users SET active = false WHERE id = 13;
UPDATE users SET active = true WHERE id = 13;
BEGIN;
SELECT session_guard.detach('users');
ALTER TABLE users ALTER active DROP DEFAULT, ALTER active TYPE text USING CASE WHEN id = 14 THEN 'no' ELSE 'yes' END;
:during
SELECT sqlstate_of('SELECT session_guard.attach(''users'')');
ALTER TABLE users ALTER active TYPE boolean USING active = 'yes', ALTER active SET DEFAULT true;
SELECT session_guard.attach('users');
COMMIT;
UPDATE login SET committed = verdict(user_id, login_at);
UPDATE users SET active = true WHERE id = 14;
:after
-- The id's: the epochs go by its text.
CALL log_in(16, 17, 18);
UPDATE users SET active = NOT active WHERE id = 16;
UPDATE users SET active = NOT active WHERE id = 16;
BEGIN;
SELECT session_guard.detach('users');
ALTER TABLE users ALTER id TYPE text;
SELECT session_guard.attach('users');
UPDATE users SET active = false WHERE id = '17';
:commit
SELECT session_guard.detach('users');
ALTER TABLE users ALTER id TYPE bigint USING id::bigint;
SELECT session_guard.attach('users');
UPDATE users SET active = true WHERE id = 17;
:after
-- Where the new type writes an id otherwise, its epoch goes by the new text.
CREATE TABLE by_text (id text PRIMARY KEY, active boolean);
INSERT INTO by_text VALUES ('007', true), ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', true);
SELECT session_guard.attach('by_text');
SELECT now() AS login \gset
UPDATE by_text SET active = false;
UPDATE by_text SET active = true;
SELECT session_guard.detach('by_text');
CREATE TABLE by_uuid AS SELECT id::uuid, active FROM by_text WHERE length(id) = 36;
DELETE FROM by_text WHERE length(id) = 36;
ALTER TABLE by_text ALTER id TYPE int USING id::int;
SELECT session_guard.attach('by_text');
SELECT session_verdict('by_text', 7, :'login'), session_verdict('by_text', 7, session_start('by_text', 7));
DROP TABLE by_text;
ALTER TABLE by_uuid ADD PRIMARY KEY (id);
ALTER TABLE by_uuid RENAME TO by_text;
SELECT session_guard.attach('by_text');
SELECT session_verdict('by_text', id, :'login') FROM by_text;
SELECT session_guard.detach('by_text', forget => true);
DROP TABLE by_text;
-- Also where nobody has detached it: the triggers, which are in the way of the new type, were dropped by hand, and reconcile puts
-- them back.
CREATE TABLE by_text (id text PRIMARY KEY, active boolean);
INSERT INTO by_text VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', true), ('{b0eebc999c0b4ef8bb6d6bb9bd380a11}', true), ('c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true), ('D0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', true);
CREATE TABLE by_text_role (user_id text);
SELECT session_guard.attach('by_text'), session_guard.watch('by_text_role', 'user_id', users => 'by_text');
SELECT now() AS login \gset
UPDATE by_text SET active = false WHERE id !~ '^D';
UPDATE by_text SET active = true;
INSERT INTO by_text_role VALUES ('D0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
SELECT sqlstate_of('ALTER TABLE by_text ALTER id TYPE uuid USING id::uuid');
SELECT format('DROP TRIGGER %I ON by_text', tgname) FROM pg_trigger WHERE tgrelid = 'by_text'::regclass ORDER BY tgname \gexec
ALTER TABLE by_text ALTER id TYPE uuid USING id::uuid;
SELECT session_guard.reconcile('by_text');
SELECT session_verdict('by_text', id, :'login'), session_verdict('by_text', id, session_start('by_text', id)) AS new_login FROM by_text ORDER BY id;
SELECT user_id, is_related FROM session_guard.epoch WHERE guard = 'public.by_text' AND user_id ~ '^.0eebc99-' ORDER BY 1, 2;
SELECT check_name, ok FROM session_guard.health() WHERE guard = 'public.by_text' AND NOT ok;
SELECT session_guard.detach('by_text', forget => true);
DROP TABLE by_text, by_text_role;
-- Any other column's.
CALL log_in(19, 20); BEGIN;
ALTER TABLE users ALTER name TYPE varchar(40), ADD number serial;
UPDATE users SET active = false WHERE id = 19;
:commit
UPDATE users SET active = true WHERE id = 19;
:after
ALTER TABLE users DROP number;
:health
:all_out

-- The active column dropped, which takes its trigger with it: nobody gets in, and the app's own writes go on.
SELECT sqlstate_of('ALTER TABLE users DROP active');
CALL log_in(21, 22, 23);
UPDATE users SET active = NOT active WHERE id = 21;
UPDATE users SET active = NOT active WHERE id = 21;
BEGIN;
ALTER TABLE users DROP active CASCADE;
INSERT INTO users VALUES (71);
UPDATE users SET name = 'x' WHERE id = 71;
DELETE FROM users WHERE id = 71;
:commit
:after
:health
-- And added again, by which the accounts are what it says: it is not watched yet.
ALTER TABLE users ADD active boolean DEFAULT true;
:after
UPDATE users SET active = false WHERE id = 22;
SELECT user_id, verdict(user_id, login_at) FROM login ORDER BY user_id;
SELECT session_guard.reconcile('users');
UPDATE users SET active = true WHERE id = 22;
:after
-- Or added again so that nobody is active.
CALL log_in(24); BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE users DROP active CASCADE, ADD active boolean;
SELECT session_guard.reconcile('users');
:commit
UPDATE users SET active = true;
:after
ALTER TABLE users ALTER active SET DEFAULT true;
-- The id column, likewise.
CALL log_in(25);
UPDATE users SET active = NOT active WHERE id = 25;
UPDATE users SET active = NOT active WHERE id = 25;
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE users RENAME id TO old_id;
ALTER TABLE users ADD id int;
UPDATE users SET id = old_id;
ALTER TABLE users DROP old_id CASCADE;
:commit
SELECT sqlstate_of('SELECT session_guard.attach(''users'')');
ALTER TABLE users ADD PRIMARY KEY (id);
SELECT session_guard.attach('users');
:after
:health
:all_out

-- Renamed: the columns, the table, its schema; the table moved into another schema. The guard goes along.
CREATE SCHEMA app;
CALL log_in(26, 27); BEGIN;
ALTER TABLE users RENAME active TO enabled;
ALTER TABLE users RENAME id TO number;
UPDATE users SET enabled = false WHERE number = 26;
:commit
UPDATE users SET enabled = true WHERE number = 26;
:after
CALL log_in(28, 29); BEGIN;
ALTER TABLE users RENAME TO people;
UPDATE people SET enabled = false WHERE number = 28;
:commit
UPDATE people SET enabled = true WHERE number = 28;
:after
CALL log_in(30, 31); BEGIN;
ALTER TABLE people SET SCHEMA app;
UPDATE app.people SET enabled = false WHERE number = 30;
:commit
UPDATE app.people SET enabled = true WHERE number = 30;
:after
CALL log_in(32, 33); BEGIN;
ALTER SCHEMA app RENAME TO app2;
UPDATE app2.people SET enabled = false WHERE number = 32;
:commit
UPDATE app2.people SET enabled = true WHERE number = 32;
:after
:health
SELECT session_guard.reconcile('app2.people');
:health
ALTER TABLE app2.people SET SCHEMA public;
ALTER TABLE people RENAME TO users;
ALTER TABLE users RENAME enabled TO active;
ALTER TABLE users RENAME number TO id;
DROP SCHEMA app2;
SELECT session_guard.reconcile('users');

-- Written anew as a whole: by CLUSTER and VACUUM FULL, of the table and of the guard's own; the index by itself.
CALL log_in(34, 35); BEGIN;
UPDATE users SET active = false WHERE id = 34;
CLUSTER users USING users_pkey;
REINDEX TABLE users;
:commit
VACUUM FULL users;
VACUUM FULL session_guard.guard, session_guard.epoch, session_guard.guard_epoch;
SELECT user_id, verdict(user_id, login_at) FROM login ORDER BY user_id;
UPDATE users SET active = true WHERE id = 34;
VACUUM FULL users;
CLUSTER session_guard.epoch USING epoch_pkey;
:after

-- Dropped and made again: nobody gets in while it is gone, and nobody who was dead afterwards, whether it is attached yet
-- or not. What became of the others meanwhile nobody can know, and health says so.
DROP TABLE kept;
CREATE TABLE kept AS SELECT id, name, true AS active FROM users;
CALL log_in(36, 37, 38, 39);
UPDATE users SET active = false WHERE id IN (36, 38);
UPDATE users SET active = true WHERE id = 36;
DELETE FROM users WHERE id = 39;
BEGIN;
DROP TABLE users;
:during
SELECT user_id, during FROM login ORDER BY user_id;
CREATE TABLE users (id int PRIMARY KEY, name text, active boolean DEFAULT true);
INSERT INTO users SELECT * FROM kept WHERE id <> 39;
:commit
SELECT session_guard.attach('users');
INSERT INTO users VALUES (39);
:after
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
:all_out
:after

-- The triggers, by each way to keep them from firing. Without them a disabled account is refused all the same, and
-- everybody where the policy when_disarmed is refuse; the first call says so, the others do not. reconcile() arms the guard
-- again and stamps what was missed.
\set unarmed 'SELECT session_guard.configure(when_disarmed => \'refuse\'); SELECT user_id, verdict(user_id, login_at), verdict_of_new_login(user_id) AS new_login FROM login ORDER BY user_id; SELECT detail FROM session_guard.health() WHERE check_name = \'armed\' AND NOT ok; SELECT session_guard.configure(when_disarmed => \'live\'); SELECT session_guard.reconcile();'
CALL log_in(40, 41); BEGIN;
ALTER TABLE users DISABLE TRIGGER session_guard_update;
UPDATE users SET active = false WHERE id = 40;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 40;
:after
CALL log_in(42, 43); BEGIN;
ALTER TABLE users DISABLE TRIGGER USER;
UPDATE users SET active = false WHERE id = 42;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 42;
:after
CALL log_in(44, 45); BEGIN;
ALTER TABLE users DISABLE TRIGGER ALL;
UPDATE users SET active = false WHERE id = 44;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 44;
:after
-- Such as fires for all but a replica.
CALL log_in(46, 47); BEGIN;
ALTER TABLE users ENABLE TRIGGER session_guard_update;
SET LOCAL session_replication_role = replica;
UPDATE users SET active = false WHERE id = 46;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 46;
:after
-- Such as fires for a replica alone.
CALL log_in(48, 49); BEGIN;
ALTER TABLE users ENABLE REPLICA TRIGGER session_guard_update;
UPDATE users SET active = false WHERE id = 48;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 48;
:after
-- One that has another name stamps still, but is not known by it.
CALL log_in(50, 51); BEGIN;
ALTER TRIGGER session_guard_update ON users RENAME TO watch;
UPDATE users SET active = false WHERE id = 50;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 50;
:after
-- Dropped by the table's owner, or given another function.
CREATE ROLE regress_owner;
ALTER TABLE users OWNER TO regress_owner;
CALL log_in(52, 53); BEGIN;
SET LOCAL ROLE regress_owner;
DROP TRIGGER session_guard_update ON users;
UPDATE users SET active = false WHERE id = 52;
RESET ROLE;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 52;
:after
CREATE FUNCTION do_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CALL log_in(54, 55); BEGIN;
CREATE OR REPLACE TRIGGER session_guard_update AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION do_nothing();
ALTER TABLE users ENABLE ALWAYS TRIGGER session_guard_update;
UPDATE users SET active = false WHERE id = 54;
:commit
:unarmed
ALTER TRIGGER session_guard_update ON users RENAME TO nothing;
SELECT session_guard.reconcile();
UPDATE users SET active = true WHERE id = 54;
:after

-- Another trigger than that of UPDATE: what it would have stamped, reconcile() cannot know; health says so.
CALL log_in(56, 57, 58); BEGIN;
ALTER TABLE users DISABLE TRIGGER session_guard_delete, DISABLE TRIGGER session_guard_insert;
DELETE FROM users WHERE id = 56;
INSERT INTO users VALUES (56);
UPDATE users SET active = false WHERE id = 57;
:commit
:unarmed
UPDATE users SET active = true WHERE id = 57;
:after
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
:all_out
:after
:health

-- Undone with the transaction.
CALL log_in(59); BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE users DISABLE TRIGGER USER;
UPDATE users SET active = false WHERE id = 59;
SELECT verdict(59, login_at) FROM login;
ROLLBACK;
SELECT session_guard.configure(when_disarmed => 'refuse');
:after
SELECT session_guard.configure(when_disarmed => 'live');

-- The warning comes once in each backend, whatever is asked first.
CALL log_in(60);
ALTER TABLE users DISABLE TRIGGER USER;
SELECT session_valid(user_id, login_at) FROM login;
SELECT session_verdict(user_id, login_at), session_verdict('users', user_id, login_at), session_start(user_id) IS NULL AS no_login FROM login;
\c -
SELECT session_start(user_id) IS NULL AS no_login FROM login;
SELECT session_valid(user_id, login_at), session_valid('users', user_id, login_at) FROM login;
SELECT session_guard.reconcile();

-- A watched table that becomes what cannot be watched: rows of other partitions call nothing, nor does a crash.
CREATE TABLE member (user_id int NOT NULL);
CREATE TABLE members (user_id int NOT NULL) PARTITION BY RANGE (user_id);
SELECT session_guard.watch('member', 'user_id');
ALTER TABLE members ATTACH PARTITION member FOR VALUES FROM (1) TO (100);
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
ALTER TABLE members DETACH PARTITION member;
ALTER TABLE member SET UNLOGGED;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok;
SELECT remedy FROM session_guard.health() WHERE check_name = 'watch' AND NOT ok \gset
:remedy
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'watch';

DROP EXTENSION pg_session_guard;
DROP TABLE users, kept, login, member, members;
DROP PROCEDURE log_in;
DROP FUNCTION sqlstate_of, verdict, verdict_of_new_login, do_nothing;
DROP ROLE regress_owner;
