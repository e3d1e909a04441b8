-- A partitioned users table whose unique key is its id is guarded as a whole: by hash, range or list,
-- with partitions of partitions, whatever numbers the columns have in each.

CREATE EXTENSION pg_session_guard;
CREATE FUNCTION last_epoch(id text) RETURNS text LANGUAGE sql AS
$$ SELECT reason FROM session_guard.epoch WHERE user_id = id AND guard = 'public.users' $$;

-- By range. One partition has its columns in another order and one dropped, one lies in another
-- schema, one is partitioned itself.
CREATE ROLE regress_partition_owner;
CREATE SCHEMA other_place;
CREATE TABLE users (id int PRIMARY KEY, name text, active boolean NOT NULL DEFAULT true)
    PARTITION BY RANGE (id);
CREATE TABLE other_place.users_1 PARTITION OF users FOR VALUES FROM (0) TO (100);
CREATE TABLE users_2 (active boolean NOT NULL DEFAULT true, gone int, name text, gone_too text, id int NOT NULL);
ALTER TABLE users_2 DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE users ATTACH PARTITION users_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE users_3 PARTITION OF users FOR VALUES FROM (200) TO (300) PARTITION BY LIST (id);
CREATE TABLE users_3_few PARTITION OF users_3 FOR VALUES IN (200, 201);
CREATE TABLE users_3_rest PARTITION OF users_3 DEFAULT;
CREATE TABLE users_rest PARTITION OF users DEFAULT;
INSERT INTO users (id) SELECT unnest(ARRAY[1, 2, 3, 101, 102, 103, 200, 202, 203, 1000, 1001, 1002]);
UPDATE users SET active = false WHERE id IN (3, 103, 203, 1002);

SELECT session_guard.attach('users', revoke_on => '{name}');
SELECT check_name, ok, detail FROM session_guard.health() WHERE guard = 'public.users' AND check_name IN ('armed', 'table', 'unique_index', 'unwatched_changes');
-- PostgreSQL has made the triggers of the partitions; those for TRUNCATE are attach's.
SELECT tgrelid::regclass AS relation, string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) AS triggers
FROM pg_trigger WHERE tgname LIKE 'session_guard%' AND tgrelid::regclass::text ~ 'users' GROUP BY 1 ORDER BY 1::text;

SELECT id, session_verdict(id, now() + interval '3 s') FROM generate_series(1, 1003) AS id
WHERE session_verdict(id, now() + interval '3 s') <> 'unknown_user' ORDER BY id;

-- In each partition: who is disabled is out, and enabled has to log in again.
CREATE TEMPORARY TABLE login AS SELECT id, session_start(id) AS at FROM unnest(ARRAY[1, 101, 200, 202, 1000]) AS id;
SELECT id, session_valid(id, at) FROM login ORDER BY id;
UPDATE users SET active = false WHERE id IN (1, 101, 200);
UPDATE users_3_rest SET active = false WHERE id = 202;
UPDATE users_rest SET active = false WHERE id = 1000;
SELECT id, session_verdict(id, at) FROM login ORDER BY id;
SELECT id, session_start(id) FROM login ORDER BY id;
UPDATE users SET active = true;
SELECT id, session_verdict(id, at) FROM login ORDER BY id;
SELECT id, last_epoch(id::text) FROM login ORDER BY id;
-- A column of revoke_on has another number in users_2, where that of the status is 1.
UPDATE users SET name = 'a' WHERE id IN (102, 2);
SELECT id, last_epoch(id::text) FROM unnest(ARRAY[2, 102]) AS id;
UPDATE users SET active = true WHERE id IN (102, 2);
SELECT id, session_guard.revoke_sessions(id) IS NOT NULL FROM unnest(ARRAY[2, 102, 201, 202, 1001]) AS id;
DELETE FROM users WHERE id IN (102, 1001);
SELECT id, last_epoch(id::text) FROM unnest(ARRAY[2, 102, 202, 1001]) AS id;

-- What session_start locks: the row, in the partition that has it, and no other table.
BEGIN;
SELECT session_start(101) IS NOT NULL;
SELECT relation::regclass, mode FROM pg_locks WHERE relation::regclass::text ~ '^(other_place.)?users[_0-9]*$' AND pid = pg_backend_pid() ORDER BY relation::regclass::text;
COMMIT;

-- A row that gets an id of another partition is deleted and inserted: both ids are stamped, and a
-- login at the old id's epoch does not count for the new one.
CREATE TEMPORARY TABLE moved AS SELECT session_start(2) AS at;
UPDATE users SET id = 150 WHERE id = 2;
SELECT id, last_epoch(id::text) FROM unnest(ARRAY[2, 150]) AS id;
SELECT session_verdict(2, at), session_verdict(150, at), session_verdict(150, session_guard.epoch_of(2)) FROM moved;
UPDATE users SET id = 151 WHERE id = 150;
SELECT id, last_epoch(id::text) FROM unnest(ARRAY[150, 151]) AS id;
-- In another transaction that deletes, too; not in one that does not.
BEGIN;
INSERT INTO users VALUES (4);
DELETE FROM users WHERE id = 3;
INSERT INTO users VALUES (5);
COMMIT;
INSERT INTO users VALUES (6);
SELECT id, last_epoch(id::text) FROM generate_series(4, 6) AS id;

-- TRUNCATE of the table, and of a partition.
SELECT session_guard.epoch_of(5) IS NULL, session_valid(6, now());
TRUNCATE users_2;
SELECT reason FROM session_guard.guard_epoch WHERE guard = 'public.users';
SELECT session_verdict(6, now() - interval '1 min');
CREATE TEMPORARY TABLE before AS SELECT epoch FROM session_guard.guard_epoch WHERE guard = 'public.users';
TRUNCATE users_3;
SELECT g.epoch > before.epoch AS raised FROM session_guard.guard_epoch AS g, before WHERE guard = 'public.users';
TRUNCATE users;
SELECT count(DISTINCT transaction_id) FROM session_guard.event WHERE guard = 'public.users' AND reason = 'truncated' AND user_id IS NULL;
SELECT session_verdict(6, now());

-- Disabled triggers of one partition disarm the guard; reconcile mends that.
INSERT INTO users SELECT generate_series(1, 3);
ALTER TABLE other_place.users_1 DISABLE TRIGGER session_guard_update;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
SELECT session_verdict(1, now() + interval '5 s');
UPDATE users SET active = false WHERE id = 1;
SELECT session_guard.reconcile('users');
SELECT check_name, detail, remedy FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
SELECT session_guard.revoke_all_sessions('users') IS NOT NULL;
SELECT last_epoch('1');
ALTER TABLE users_2 DISABLE TRIGGER session_guard_partition_truncate;
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
SELECT session_guard.reconcile('users'), session_guard.revoke_all_sessions('users') IS NOT NULL;
DROP TRIGGER session_guard_partition_truncate ON users_2;
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
SELECT session_guard.reconcile('users'), session_guard.revoke_all_sessions('users') IS NOT NULL;
ALTER TABLE ONLY users DISABLE TRIGGER session_guard_delete;
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
SELECT session_guard.reconcile('users'), session_guard.revoke_all_sessions('users') IS NOT NULL;
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;

-- Columns and tables get other names; the options change.
ALTER TABLE users RENAME COLUMN active TO is_active;
ALTER TABLE users_2 RENAME TO "Users 2";
ALTER TABLE users RENAME TO people;
INSERT INTO people (id) VALUES (110);
UPDATE people SET is_active = false WHERE id = 110;
SELECT last_epoch('110'), session_verdict('people', 110, now());
SELECT session_guard.reconcile('people');
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;
ALTER TABLE people ADD banned boolean;
SELECT session_guard.attach('people', active_column => 'banned', active_when => 'false');
UPDATE people SET banned = true WHERE id = 110;
SELECT session_verdict('people', 110, now()), session_verdict('people', 1, now() + interval '5 s');
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.users' AND NOT ok;

-- What is asked of a partition is refused, and so is a guard of its own.
SELECT session_valid('other_place.users_1', 1, now());
SELECT session_guard.attach('other_place.users_1');
SELECT session_guard.watch('people', 'id');

-- Partitions by hash, and by text; ids that no partition takes.
CREATE TABLE hashed (id uuid PRIMARY KEY, active boolean NOT NULL DEFAULT true) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1) PARTITION BY HASH (id);
CREATE TABLE hashed_1_0 PARTITION OF hashed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1_1 PARTITION OF hashed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT session_guard.attach('hashed');
INSERT INTO hashed SELECT md5(n::text)::uuid FROM generate_series(1, 200) AS n
WHERE NOT satisfies_hash_partition('hashed'::regclass, 3, 2, md5(n::text)::uuid);
SELECT count(*) > 100, bool_and(session_valid('hashed', id, now())) FROM hashed;
UPDATE hashed SET active = false;
SELECT count(*) FILTER (WHERE session_valid('hashed', id, now() + interval '3 s')) FROM hashed;
SELECT count(*) = (SELECT count(*) FROM hashed) FROM session_guard.epoch WHERE guard = 'public.hashed';
SELECT DISTINCT session_verdict('hashed', md5(n::text)::uuid, now()) FROM generate_series(1, 200) AS n ORDER BY 1;
CREATE TABLE named (id varchar PRIMARY KEY, status text) PARTITION BY RANGE (id);
CREATE TABLE named_a PARTITION OF named FOR VALUES FROM (MINVALUE) TO ('m');
CREATE TABLE named_m (status text, id varchar NOT NULL);
ALTER TABLE named ATTACH PARTITION named_m FOR VALUES FROM ('m') TO (MAXVALUE);
INSERT INTO named VALUES ('alice', 'active'), ('zoe', 'active'), ('m', 'trial'), ('l', 'banned');
SELECT session_guard.attach('named', active_column => 'status', active_when => '{active,trial}');
SELECT id, session_verdict('named', id, now()) FROM unnest(ARRAY['alice', 'zoe', 'm', 'l', 'n', '']) AS id;
UPDATE named SET status = 'trial' WHERE id = 'zoe';
UPDATE named SET status = 'gone' WHERE id IN ('alice', 'm');
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.named' ORDER BY user_id COLLATE "C";
SELECT id, session_verdict('named', id, now()) FROM unnest(ARRAY['alice', 'zoe', 'm', 'l']) AS id;
-- Who is active by another column from now on, in a partition that numbers it otherwise.
ALTER TABLE named ADD expires_at timestamptz;
UPDATE named SET expires_at = 'infinity' WHERE id IN ('m', 'zoe');
SELECT session_guard.attach('named', active_column => 'expires_at', active_when => 'future');
SELECT id, session_verdict('named', id, now() + interval '5 s') FROM unnest(ARRAY['alice', 'zoe', 'm', 'l']) AS id;
-- Stores, a watched table, and bans that end by themselves, as of an ordinary table.
CREATE TABLE banned (id int PRIMARY KEY, banned_until timestamptz) PARTITION BY HASH (id);
CREATE TABLE banned_0 PARTITION OF banned FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE banned_1 (banned_until timestamptz, id int NOT NULL);
ALTER TABLE banned ATTACH PARTITION banned_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO banned SELECT generate_series(1, 20);
CREATE TABLE stored AS SELECT n AS user_id FROM generate_series(1, 20) AS n;
CREATE TABLE role_of (user_id int, role_id int);
SELECT session_guard.attach('banned', active_column => 'banned_until', active_when => 'past');
SELECT session_guard.add_store('stored', 'user_id', users => 'banned');
SELECT session_guard.watch('role_of', 'user_id', users => 'banned');
UPDATE banned SET banned_until = 'infinity' WHERE id <= 4;
INSERT INTO role_of VALUES (5, 1), (6, 1), (999, 1);
SELECT min(user_id), count(*) FROM stored;
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.banned' ORDER BY user_id;
SELECT session_guard.revoke_all_sessions('banned') IS NOT NULL;
SELECT count(*) FROM stored;
-- A partition whose index cannot be used is read as a heap, and told.
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'banned_1_pkey'::regclass;
\c -
SELECT id, session_verdict('banned', id, now() + interval '5 s') FROM unnest(ARRAY[1, 2, 7, 8, 9, 10]) AS id;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE guard = 'public.banned' AND NOT ok;
REINDEX TABLE banned_1;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE guard = 'public.banned' AND NOT ok;
SELECT session_guard.detach('banned', forget => true);
DROP TABLE banned, stored, role_of;

-- Tables that are partitioned by something else. A function in the key would run with the rights of
-- the extension's owner: no path of the guard loads it.
CREATE FUNCTION compare(a int, b int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RAISE NOTICE 'compare runs as %', current_user; RETURN btint4cmp(a, b); END $$;
CREATE OPERATOR CLASS own_ops FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compare(int, int);
SET client_min_messages = warning;
CREATE TABLE own (id int, active boolean) PARTITION BY RANGE (id own_ops);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (10);
CREATE TABLE own_2 PARTITION OF own FOR VALUES FROM (10) TO (20);
CREATE UNIQUE INDEX ON own (id);
CREATE TABLE expression (id int, active boolean) PARTITION BY RANGE ((id + compare(1, 0)));
CREATE TABLE expression_1 PARTITION OF expression FOR VALUES FROM (0) TO (10);
CREATE TABLE mixed (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id own_ops);
CREATE TABLE plain (id int PRIMARY KEY, active boolean);
\c -
SELECT session_guard.attach('own');
SELECT session_guard.attach('expression');
SELECT session_guard.attach('mixed');
-- Another table takes the place of a guarded one.
SELECT session_guard.attach('plain');
DROP TABLE plain;
ALTER TABLE expression RENAME TO plain;
\c -
SELECT session_guard.reconcile('plain');
SELECT session_valid('plain', 1, now());
SELECT session_start('plain', 1);
SELECT check_name, detail FROM session_guard.health() WHERE guard = 'public.plain' AND NOT ok;
SELECT session_guard.detach('plain', forget => true);
CREATE TABLE other_key (id int, region text, active boolean, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE other_key_eu PARTITION OF other_key FOR VALUES IN ('eu');
SELECT session_guard.attach('other_key');
CREATE TABLE no_key (id int, region text, active boolean) PARTITION BY LIST (region);
CREATE TABLE no_key_eu PARTITION OF no_key FOR VALUES IN ('eu');
SELECT session_guard.attach('no_key');
SELECT session_guard.detach('hashed', forget => true), session_guard.detach('named', forget => true);
DROP TABLE hashed, named, own, plain, mixed, other_key, no_key;
DROP OPERATOR FAMILY own_ops USING btree;
DROP FUNCTION compare;

-- A partition of another role's.
ALTER TABLE users_rest OWNER TO regress_partition_owner;
INSERT INTO people (id) VALUES (5000);
SELECT session_start('people', 5000) IS NOT NULL AS is_given;
UPDATE people SET banned = true WHERE id = 5000;
SELECT session_verdict('people', 5000, now());
ALTER TABLE users_rest OWNER TO CURRENT_USER;
-- After detach nothing of the guard is left on any table.
SELECT session_guard.detach('people', forget => true);
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid::regclass::text !~ '^session_guard[.]' AND tgname LIKE 'session_guard%';
DROP TABLE people;
DROP SCHEMA other_place;
DROP ROLE regress_partition_owner;
DROP FUNCTION last_epoch;
DROP EXTENSION pg_session_guard;
