-- Every function of the library runs with values of each kind on a server that valgrind watches: no error of memory
-- is found. Statements that fail are caught, so that unwinding is watched, too.
\set ON_ERROR_STOP on
SET client_min_messages = error;
\pset pager off
\o /dev/null
CREATE EXTENSION pg_session_guard;

CREATE TABLE by_int2 (id int2 PRIMARY KEY, active boolean, secret text, note json);
CREATE TABLE by_int4 (id int4 PRIMARY KEY, active boolean, secret text, note json);
CREATE TABLE by_int8 (id int8 PRIMARY KEY, active boolean, secret text, note json);
CREATE TABLE by_uuid (id uuid PRIMARY KEY, active boolean, secret text, note json);
CREATE TABLE by_text (id text PRIMARY KEY, active boolean, secret text, note json);
CREATE TABLE by_varchar (id varchar(3000) PRIMARY KEY, active boolean, secret text, note json);
INSERT INTO by_int2 SELECT n, n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;
INSERT INTO by_int4 SELECT n, n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;
INSERT INTO by_int8 SELECT n, n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;
INSERT INTO by_uuid SELECT lpad(n::text, 32, '0')::uuid, n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;
INSERT INTO by_text SELECT n, n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;
-- Ids that are kept compressed.
INSERT INTO by_varchar SELECT rpad(n::text, n * 130, 'x'), n % 3 > 0, repeat('s', n * 300) FROM generate_series(1, 20) AS n;

CREATE FUNCTION mistake(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT mistake('SELECT session_valid(1, now())'), mistake('SELECT session_guard.attach(NULL)'),
       mistake('SELECT session_guard.attach(''pg_class'')'), mistake('SELECT session_guard.attach(''by_int2'', ''nothing'')'),
       mistake('SELECT session_guard.stamp()'), mistake('SELECT session_guard.detach(''by_int4'')');

-- Attach, the backfill, and again with other columns.
SELECT session_guard.attach(t::regclass, is_default => t = 'by_int4')
FROM unnest(ARRAY['by_int2', 'by_int4', 'by_int8', 'by_uuid', 'by_text', 'by_varchar']) AS t;
SELECT session_guard.attach('by_int4'), session_guard.attach('by_int4', revoke_on => '{secret, note}');
SELECT session_guard.attach('by_text', revoke_on => '{secret}'), session_guard.attach('by_varchar', revoke_on => '{note}');
SELECT mistake('SELECT session_guard.attach(''by_int4'', ''secret'')');

-- Every overload, ids of every kind.
CREATE TABLE ids (id text);
INSERT INTO ids SELECT n::text FROM generate_series(-2, 22) AS n;
INSERT INTO ids VALUES
    (NULL), (''), (' '), (' 7 '), ('+7'), ('-'), ('abc'), ('7abc'), ('0x7'), ('0b111'), ('1_0'), ('_'), ('0x'), ('{'), ('}'),
    ('99999999999999999999999'), ('-9223372036854775808'), ('9223372036854775807'), ('9223372036854775808'), ('32768'),
    ('00000000000000000000000000000007'), ('{00000000-0000-0000-0000-000000000007}'), ('0000000-00000-0000-0000-000000000007'),
    ('00000000-0000-0000-0000-00000000000'), (rpad('7', 910, 'x')), (rpad('7', 911, 'x')), (repeat('7', 3000)), (repeat('x', 1000000)),
    ('ünïcödé'), (E'\x01\x7f');
CREATE TABLE times (at timestamptz);
INSERT INTO times VALUES (NULL), ('-infinity'), ('infinity'), (now()), (now() + interval '1 h'), (now() - interval '1 h'), ('4713-01-01 BC'), ('294276-12-31');
CREATE TABLE guarded AS SELECT format('%I.%I', schema_name, table_name)::regclass AS guard FROM session_guard.guard;
SELECT session_valid(id, at), session_verdict(id, at), session_valid(id, at::timestamp), session_verdict(id, at::timestamp),
       session_valid(guard, id, at), session_verdict(guard, id, at), session_valid(guard, id, at::timestamp),
       session_verdict(guard, id, at::timestamp)
FROM ids, times, guarded;
SELECT session_valid(id, at), session_verdict(id, at), session_valid(id, at::timestamp), session_verdict(id, at::timestamp),
       session_valid(guard, id, at), session_verdict(guard, id, at), session_valid(guard, id, at::timestamp),
       session_verdict(guard, id, at::timestamp)
FROM unnest(ARRAY[NULL, 1, 2, 3, 0, -1, 32767, 32768, 2147483648, 9223372036854775807, -9223372036854775808]) AS id, times, guarded;
SELECT session_valid(id, at), session_verdict(id, at), session_valid(id, at::timestamp), session_verdict(id, at::timestamp),
       session_valid(guard, id, at), session_verdict(guard, id, at), session_valid(guard, id, at::timestamp),
       session_verdict(guard, id, at::timestamp)
FROM unnest(ARRAY[NULL, '00000000-0000-0000-0000-000000000007', 'ffffffff-ffff-ffff-ffff-ffffffffffff']::uuid[]) AS id, times, guarded;
SELECT session_valid(id, at), session_verdict(id, at), session_valid(guard, id, at::timestamp), session_verdict(guard, id, at::timestamp)
FROM unnest(ARRAY[NULL, 1, 2, 0, -1, 2147483647]::int[]) AS id, times, guarded;
SELECT session_valid(id, at), session_verdict(id, at), session_valid(guard, id, at::timestamp), session_verdict(guard, id, at::timestamp)
FROM unnest(ARRAY[NULL, 1, 2, 0, -1, 32767]::smallint[]) AS id, times, guarded;
SELECT session_start(id), session_guard.epoch_of(id), session_start(guard, id), session_guard.epoch_of(guard, id) FROM ids, guarded;
SELECT session_start(id), session_guard.epoch_of(id), session_start(guard, id), session_guard.epoch_of(guard, id)
FROM unnest(ARRAY[NULL, 1, 2, 3, 0, 9223372036854775807]) AS id, guarded;
SELECT session_start(id), session_guard.epoch_of(id), session_start(guard, id), session_guard.epoch_of(guard, id)
FROM unnest(ARRAY[NULL, '00000000-0000-0000-0000-000000000007']::uuid[]) AS id, guarded;
SELECT session_guard.revoke_sessions(id, repeat('why ', 100), guard), session_guard.revoke_sessions(id, users => guard)
FROM unnest(ARRAY[NULL, '5', ' 5 ', 'nobody', rpad('1', 130, 'x')]) AS id, guarded;
SELECT session_guard.revoke_sessions(NULL::int), session_guard.revoke_sessions(7::smallint), session_guard.revoke_sessions(8::bigint),
       session_guard.revoke_sessions('00000000-0000-0000-0000-000000000008'::uuid, users => 'by_uuid');
SELECT count(h) FROM ids, guarded, session_guard.history(ids.id, guarded.guard) AS h;
SELECT (SELECT count(*) FROM session_guard.history(7)), (SELECT count(*) FROM session_guard.history(7::smallint)),
       (SELECT count(*) FROM session_guard.history(NULL::bigint)),
       (SELECT count(*) FROM session_guard.history('00000000-0000-0000-0000-000000000008'::uuid, 'by_uuid'));
SELECT session_guard.revoke_tokens(scope, subject, 'why'), token_valid(scope, subject, now()), token_valid(scope, subject, localtimestamp)
FROM unnest(ARRAY[NULL, '', 'session', repeat('s', 5000)]) AS scope, unnest(ARRAY[NULL, '', 'x', repeat('y', 5000)]) AS subject;
SELECT session_guard.security_event(id) FROM session_guard.event;
SELECT session_guard.security_event(NULL), session_guard.security_event(-1);

-- Policies, rights, pruning.
SELECT session_guard.configure(), session_guard.configure('1 second', '1 second', 'refuse', true, true, 'local', '1 second', 'refuse');
SELECT session_valid('by_int4', 1, now()), session_start('by_int4', 1);
SELECT session_guard.configure('10 seconds', '0', 'live', true, false, 'local', '0', 'live');
SELECT mistake('SELECT session_guard.configure(when_disarmed => ''never'')'), mistake('SELECT session_guard.configure(stamp_margin => ''-1 second'')'),
       mistake('SELECT session_guard.grant_access(NULL)'), mistake('SELECT session_guard.prune(epochs_older_than => ''1 hour'')');
CREATE ROLE valgrind_app;
SELECT session_guard.grant_access('valgrind_app'), session_guard.revoke_access('valgrind_app');
SELECT session_guard.prune(), session_guard.prune('1 day', '1 day', true), session_guard.prune('0', '1 day');
SELECT mistake('SELECT session_valid(NULL::regclass, 1, now())'), mistake('SELECT session_verdict(''ids'', 1, now())'),
       mistake('SELECT session_start(0::regclass, 1)');

-- In a parallel worker.
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT session_valid('by_int4', 1, now()), session_verdict('by_text', id, now()) FROM ids;
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- The triggers: each event, rows out of line, subtransactions.
UPDATE by_int2 SET active = NOT active;
UPDATE by_int8 SET active = NULL;
UPDATE by_uuid SET id = gen_random_uuid();
UPDATE by_varchar SET id = 'y' || id WHERE length(id) > 2000;
UPDATE by_text SET secret = repeat('t', 5000 * id::int), active = NOT active;
UPDATE by_text SET secret = NULL;
UPDATE by_int4 SET note = '{"a": 1}', secret = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n);
UPDATE by_int4 SET secret = secret || 'x';
DELETE FROM by_int4 WHERE id < 10;
DELETE FROM by_varchar WHERE id NOT LIKE 'y%';
INSERT INTO by_int4 VALUES (1, true), (2, NULL), (100, true);
TRUNCATE by_int2, by_varchar;
DO $$
BEGIN
    FOR n IN 1..20 LOOP
        BEGIN
            UPDATE by_int8 SET active = n % 2 = 0;
            PERFORM session_valid('by_int8', 1, now());
            IF n % 3 = 0 THEN RAISE EXCEPTION 'undone'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE by_int8 SET active = true;
SELECT session_valid('by_int8', id::bigint, now()), session_start('by_int8', id::bigint) FROM generate_series(1, 20) AS id;
COMMIT;
DECLARE c CURSOR WITH HOLD FOR SELECT session_valid('by_int8', id::bigint, now()) FROM generate_series(1, 20) AS id;
FETCH 10 FROM c;
CLOSE c;

-- Watched tables: their users are stamped before COMMIT, also of transactions that are prepared or undone.
CREATE TABLE role_of (user_id bigint, role text);
INSERT INTO role_of SELECT n, 'reader' FROM generate_series(1, 20) AS n;
SELECT session_guard.watch('role_of', 'user_id', '{role}', 'by_int8');
UPDATE role_of SET role = 'writer';
BEGIN;
DELETE FROM role_of WHERE user_id < 5;
SAVEPOINT undone;
UPDATE role_of SET user_id = user_id + 1;
ROLLBACK TO undone;
UPDATE role_of SET role = NULL WHERE user_id = 6;
COMMIT;
BEGIN;
INSERT INTO role_of VALUES (1, 'reader'), (NULL, 'nobody'), (99, 'nobody');
PREPARE TRANSACTION 'watched';
COMMIT PREPARED 'watched';
BEGIN;
TRUNCATE role_of;
ROLLBACK;
SELECT session_guard.unwatch('role_of');

-- DDL beneath open plans.
PREPARE ask AS SELECT session_verdict('by_int4', 11, now()), session_verdict('by_int4', '11', now());
EXECUTE ask;
ALTER TABLE by_int4 ADD COLUMN further text DEFAULT 'missing';
EXECUTE ask;
SELECT session_guard.attach('by_int4', revoke_on => '{further}');
UPDATE by_int4 SET further = 'x';
ALTER TABLE by_int4 DISABLE TRIGGER session_guard_update;
EXECUTE ask;
SELECT * FROM session_guard.health();
SELECT session_guard.reconcile('by_int4');
ALTER TABLE by_int4 DROP CONSTRAINT by_int4_pkey;
EXECUTE ask;
SELECT * FROM session_guard.health();
ALTER TABLE by_int4 RENAME id TO uid;
EXECUTE ask;
SELECT session_guard.reconcile();
CREATE UNIQUE INDEX ON by_int4 (uid);
CLUSTER by_int4 USING by_int4_uid_idx;
EXECUTE ask;
ALTER TABLE by_int4 RENAME TO renamed;
CREATE TABLE by_int4 (id int);
SELECT mistake('EXECUTE ask'), mistake($$SELECT session_valid('renamed', 1, now())$$);
SELECT * FROM session_guard.health();
DROP TABLE renamed CASCADE;
SELECT mistake($$SELECT session_valid(1, now())$$), mistake('SELECT session_guard.reconcile(' || quote_literal(guard) || ')') FROM guarded;
SELECT * FROM session_guard.health();

-- Everybody out, and the end.
SELECT session_guard.revoke_all_sessions(guard, repeat('why ', 1000)) FROM guarded WHERE guard::text ~ '^by_(text|uuid)';
SELECT session_guard.detach('by_text'), session_guard.detach('by_uuid', true);
SELECT session_guard.attach('by_text');
SELECT * FROM session_guard.health();
DROP EXTENSION pg_session_guard CASCADE;
DROP OWNED BY valgrind_app;
DROP ROLE valgrind_app;
SELECT mistake('SELECT session_valid(1, now())');
