-- Partitions of a guarded table that come and go: what they bring with them is stamped by reconcile, and
-- health() says so until then; what they take with them is unknown, and told.
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true) PARTITION BY RANGE (id);
CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (100);
CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (100) TO (200);
INSERT INTO users SELECT unnest(ARRAY[1, 2, 101, 102]);
SELECT session_guard.attach('users');
CREATE TEMPORARY TABLE login AS SELECT id, session_start(id) AS at FROM unnest(ARRAY[1, 2, 101, 102]) AS id;
\set verdicts 'SELECT id, session_verdict(id, at) FROM login ORDER BY id;'
\set health 'SELECT check_name, detail, remedy FROM session_guard.health() WHERE guard = \'public.users\' AND NOT ok;'
:verdicts

-- A new partition has the triggers that PostgreSQL makes, ENABLE ALWAYS, and not the one for TRUNCATE.
CREATE TABLE users_3 PARTITION OF users FOR VALUES FROM (200) TO (300);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'users_3'::regclass ORDER BY tgname;
:health
:verdicts
SELECT session_guard.configure(when_disarmed => 'refuse');
:verdicts
SELECT session_guard.configure(when_disarmed => 'live');
INSERT INTO users VALUES (201), (202);
SELECT session_guard.reconcile('users');
:health
:verdicts
SELECT session_verdict(201, now() - interval '1 min'), session_start(201) IS NOT NULL;

-- In one transaction with reconcile, the guard is armed all the time.
BEGIN;
CREATE TABLE users_4 PARTITION OF users FOR VALUES FROM (300) TO (400);
SELECT session_guard.reconcile('users');
COMMIT;
:health
:verdicts

-- What is detached is unknown, at once and from the cache; what happens to it meanwhile is not seen.
ALTER TABLE users DETACH PARTITION users_1;
:verdicts
:health
UPDATE users_1 SET active = false WHERE id = 1;
UPDATE users_1 SET active = true WHERE id = 1;
-- Attached again, who is in it may have been disabled and enabled: reconcile stamps them all.
ALTER TABLE users ATTACH PARTITION users_1 FOR VALUES FROM (0) TO (100);
:health
:verdicts
SELECT session_guard.reconcile('users');
:health
:verdicts
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.users' ORDER BY user_id;
SELECT id, session_verdict(id, session_start(id)) FROM login ORDER BY id;

-- Reconciled while it is away, it is a new one when it comes back. The trigger that it has still is
-- nobody's meanwhile.
ALTER TABLE users DETACH PARTITION users_1;
SELECT session_guard.reconcile('users');
:health
SELECT session_guard.revoke_all_sessions('users') IS NOT NULL;
:health
TRUNCATE users_1;
INSERT INTO users_1 VALUES (1);
SELECT check_name, ok FROM session_guard.health() WHERE check_name = 'unknown_guards';
ALTER TABLE users ATTACH PARTITION users_1 FOR VALUES FROM (0) TO (100);
SELECT session_guard.reconcile('users');
:health

-- Dropped, and made again: told, since ids of before may come back.
DELETE FROM login;
INSERT INTO login SELECT 102, session_start(102);
:verdicts
DROP TABLE users_2;
:verdicts
:health
CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (100) TO (200);
SELECT session_guard.reconcile('users');
:health
INSERT INTO users VALUES (102);
:verdicts
SELECT session_guard.revoke_all_sessions('users') IS NOT NULL;
:health
:verdicts

-- Partitions of partitions: what changes below is seen above.
CREATE TABLE users_5 PARTITION OF users FOR VALUES FROM (500) TO (600) PARTITION BY RANGE (id);
CREATE TABLE users_5_1 PARTITION OF users_5 FOR VALUES FROM (500) TO (550);
INSERT INTO users VALUES (501);
SELECT session_guard.reconcile('users');
DELETE FROM login;
INSERT INTO login SELECT 501, session_start(501);
:verdicts
ALTER TABLE users_5 DETACH PARTITION users_5_1;
:verdicts
ALTER TABLE users_5 ATTACH PARTITION users_5_1 FOR VALUES FROM (500) TO (550);
:health
SELECT session_guard.reconcile('users');
:verdicts

-- What cannot be guarded with the others.
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int NOT NULL, active boolean NOT NULL) SERVER nowhere;
DROP TABLE users_4;
CREATE TABLE other (id int, active boolean NOT NULL DEFAULT true) PARTITION BY RANGE (id);
CREATE TABLE other_1 (id int NOT NULL, active boolean NOT NULL DEFAULT true);
ALTER TABLE other_1 ADD PRIMARY KEY (id);
SELECT session_guard.attach('other_1');
CREATE UNIQUE INDEX ON other (id);
ALTER TABLE other ATTACH PARTITION other_1 FOR VALUES FROM (0) TO (10);
SELECT session_guard.attach('other');
SELECT session_guard.detach('other_1', forget => true);
SELECT session_guard.attach('other');
CREATE UNLOGGED TABLE other_2 PARTITION OF other FOR VALUES FROM (10) TO (20);
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.other' AND NOT ok;
SELECT session_guard.reconcile('other');
DROP TABLE other_2;
-- Without the index of the table, those of the partitions are gone, too: the remedy makes all.
DROP INDEX other_id_idx CASCADE;
CREATE TABLE other_3 PARTITION OF other FOR VALUES FROM (30) TO (40);
SELECT detail, remedy FROM session_guard.health() WHERE guard = 'public.other' AND check_name = 'unique_index' \gset
\echo :detail :remedy
:remedy
SELECT session_guard.reconcile('other');
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.other' AND NOT ok AND check_name <> 'unwatched_changes';
-- PostgreSQL itself refuses a foreign table beside a unique index, and two triggers of one name.
ALTER TABLE other ATTACH PARTITION far FOR VALUES FROM (20) TO (30);
CREATE TABLE guarded_itself (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true);
SELECT session_guard.attach('guarded_itself');
ALTER TABLE users ATTACH PARTITION guarded_itself FOR VALUES FROM (900) TO (910);
SELECT session_guard.detach('guarded_itself', forget => true);
SELECT session_guard.detach('users', forget => true), session_guard.detach('other', forget => true);
DROP TABLE users, other, guarded_itself;
DROP FOREIGN TABLE far;
DROP SERVER nowhere;
DROP FOREIGN DATA WRAPPER nowhere;

-- A guarded table that becomes a partition: its guard goes on with the whole table, with its epochs and options.
CREATE TABLE members (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true);
INSERT INTO members VALUES (1), (2);
SELECT session_guard.attach('members', max_session_age => '1 day');
DELETE FROM login;
INSERT INTO login SELECT id, session_start('members', id) FROM members;
UPDATE members SET active = false WHERE id = 1;
UPDATE members SET active = true WHERE id = 1;
CREATE TABLE everybody (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true) PARTITION BY RANGE (id);
ALTER TABLE everybody ATTACH PARTITION members FOR VALUES FROM (0) TO (10);
SELECT session_guard.detach('members'), session_guard.attach('everybody');
SELECT name, table_name, max_session_age, is_default FROM session_guard.guard;
:verdicts
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.members' AND NOT ok;
-- Of two such guards neither is taken.
CREATE TABLE staff_1 (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true);
CREATE TABLE staff_2 (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true);
SELECT session_guard.attach('staff_1'), session_guard.attach('staff_2'), session_guard.detach('staff_1'), session_guard.detach('staff_2');
CREATE TABLE staff (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true) PARTITION BY RANGE (id);
ALTER TABLE staff ATTACH PARTITION staff_1 FOR VALUES FROM (0) TO (10);
ALTER TABLE staff ATTACH PARTITION staff_2 FOR VALUES FROM (10) TO (20);
SELECT session_guard.attach('staff');
SELECT name, detached_at IS NOT NULL AS is_detached FROM session_guard.guard ORDER BY name;
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.staff' AND NOT ok;
DROP TABLE everybody, staff;
DROP EXTENSION pg_session_guard;
