-- attach guards tables whatever the type of their ids and however they are named; detach ends that.
CREATE EXTENSION pg_session_guard;
SET client_min_messages = warning;

CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."User's ""table""" ("The Id" smallint PRIMARY KEY, "is active?" boolean, "pass word" json);
CREATE TABLE by_int (id int PRIMARY KEY, active boolean);
CREATE TABLE by_bigint (id bigint PRIMARY KEY, active boolean);
CREATE TABLE by_uuid (id uuid PRIMARY KEY, active boolean);
CREATE TABLE by_text (id text PRIMARY KEY, active boolean);
CREATE TABLE by_varchar (id varchar(40) UNIQUE, active boolean);
INSERT INTO "Odd Schema"."User's ""table""" VALUES (1, true), (2, false), (-32768, true);
INSERT INTO by_int VALUES (1, true), (2, false), (2147483647, true);
INSERT INTO by_bigint VALUES (1, true), (2, false), (9223372036854775807, true);
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-000000000001', true), ('00000000-0000-0000-0000-000000000002', false), ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', true);
INSERT INTO by_text VALUES ('1', true), ('2', false), ('Ünïcödé '' "x" ', true);
INSERT INTO by_varchar VALUES ('1', true), ('2', false), (NULL, false), ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true);

-- attach returns how many disabled accounts it stamped.
SELECT session_guard.attach('"Odd Schema"."User''s ""table"""', 'The Id', 'is active?', revoke_on => '{"pass word"}');
SELECT session_guard.attach('by_int'), session_guard.attach('by_bigint'), session_guard.attach('by_uuid'),
       session_guard.attach('by_text'), session_guard.attach('by_varchar');
SELECT name, schema_name, table_name, table_owner = current_user AS is_owner, id_column, active_column, active_when, revoke_on, is_default FROM session_guard.guard ORDER BY name;
SELECT guard, user_id, reason FROM session_guard.epoch ORDER BY guard;

-- The triggers, and how they depend on the extension.
SELECT tgname, tgenabled, pg_get_triggerdef(t.oid, true) AS definition,
       (SELECT string_agg(deptype::text, '') FROM pg_depend d WHERE d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass) AS on_extension
FROM pg_trigger t WHERE tgrelid = '"Odd Schema"."User''s ""table"""'::regclass ORDER BY tgname;

-- Each is asked by its name; the first is the default.
SELECT session_verdict(1, now()), session_verdict(2, now()), session_verdict(-32768, now()), session_verdict(40000, now());
SELECT session_verdict('by_int', 1, now()), session_verdict('by_int', '2147483647', now()), session_verdict('by_int', 2147483648, now());
SELECT session_verdict('by_bigint', 1, now()), session_verdict('by_bigint', '9223372036854775807', now());
SELECT session_verdict('by_uuid', '00000000-0000-0000-0000-000000000001'::uuid, now()),
       session_verdict('by_uuid', '{a0eebc999c0b4ef8bb6d6bb9bd380a11}', now()), session_verdict('by_uuid', 1, now());
SELECT session_verdict('by_text', '1', now()), session_verdict('by_text', 1, now()), session_verdict('by_text', 'Ünïcödé '' "x" ', now()),
       session_verdict('by_text', ' 1', now());
SELECT session_verdict('by_varchar', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, now()), session_verdict('by_varchar', '1 ', now());

-- Each stamps its own.
TRUNCATE session_guard.epoch;
UPDATE "Odd Schema"."User's ""table""" SET "is active?" = false WHERE "The Id" = -32768;
UPDATE "Odd Schema"."User's ""table""" SET "pass word" = '"x"' WHERE "The Id" = 1;
UPDATE by_int SET active = false WHERE id = 2147483647;
UPDATE by_bigint SET active = false WHERE id = 9223372036854775807;
UPDATE by_uuid SET active = false WHERE id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
UPDATE by_text SET active = false WHERE id LIKE 'Ün%';
UPDATE by_varchar SET active = NULL WHERE id IS NULL OR id > '9';
SELECT guard, user_id, reason FROM session_guard.epoch ORDER BY guard, user_id;

-- Attached again: nothing new to stamp, nothing changed.
SELECT session_guard.attach('by_int'), session_guard.attach('by_uuid');
-- Stamped again only if it was last stamped for another reason.
UPDATE session_guard.epoch SET reason = 'enabled' WHERE guard = 'public.by_int';
SELECT session_guard.attach('by_int'), session_guard.attach('by_int');

-- With other arguments: the guard changes.
ALTER TABLE by_int ADD enabled boolean DEFAULT true, ADD password text;
SET client_min_messages = notice;
SELECT session_guard.attach('by_int', active_column => 'enabled', revoke_on => '{password, password}');
SELECT session_verdict('by_int', 2, now() - interval '1 h');
UPDATE by_int SET active = NOT active;
SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE tgrelid = 'by_int'::regclass AND tgname = 'session_guard_update';
-- What it is not told stays; {} takes away.
SELECT session_guard.attach('by_int');
SELECT active_column, revoke_on, is_default FROM session_guard.guard WHERE name = 'public.by_int';
SELECT session_guard.attach('by_int', revoke_on => '{}');
SELECT active_column, revoke_on, is_default FROM session_guard.guard WHERE name = 'public.by_int';
SET client_min_messages = warning;

-- There is one default guard at most; is_default => true moves it.
SELECT session_guard.attach('by_int', is_default => true);
SELECT name FROM session_guard.guard WHERE is_default;
SELECT session_guard.attach('by_text', is_default => false);
SELECT session_guard.attach('by_int');
SELECT name FROM session_guard.guard WHERE is_default;

-- detach keeps the epochs and the options, and deletes them with forget => true.
SELECT session_guard.attach('by_text', max_session_age => '1 d');
SELECT session_guard.detach('by_text');
SELECT detached_at > attached_at AS is_detached, max_session_age FROM session_guard.guard WHERE name = 'public.by_text';
SELECT session_verdict('by_text', '1', now());
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'by_text'::regclass;
SELECT user_id FROM session_guard.epoch WHERE guard = 'public.by_text';
SELECT session_guard.attach('by_text');
SELECT detached_at, max_session_age FROM session_guard.guard WHERE name = 'public.by_text';
SELECT session_guard.detach('by_text', forget => true);
SELECT count(*) FROM session_guard.guard WHERE name = 'public.by_text';
SELECT count(*) FROM session_guard.epoch WHERE guard = 'public.by_text';

-- A type is changed between detach and attach; PostgreSQL refuses it otherwise.
\set VERBOSITY terse
ALTER TABLE by_bigint ALTER id TYPE int;
\set VERBOSITY default
DELETE FROM by_bigint WHERE id > 2;
SELECT session_guard.detach('by_bigint');
ALTER TABLE by_bigint ALTER id TYPE int;
SELECT session_guard.attach('by_bigint');
SELECT session_verdict('by_bigint', 1, now()), session_verdict('by_bigint', 2, now());

-- The guard follows renames of table, schema and columns; reconcile takes the new names over.
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-000000000003', true);
ALTER TABLE by_uuid RENAME TO people;
ALTER TABLE people RENAME id TO person;
ALTER TABLE people RENAME active TO enabled;
ALTER TABLE people SET SCHEMA "Odd Schema";
SELECT session_verdict('"Odd Schema".people', '00000000-0000-0000-0000-000000000003', now());
UPDATE "Odd Schema".people SET enabled = false WHERE person = '00000000-0000-0000-0000-000000000003';
UPDATE "Odd Schema".people SET enabled = true WHERE person = '00000000-0000-0000-0000-000000000003';
SELECT session_verdict('"Odd Schema".people', '00000000-0000-0000-0000-000000000003', now() - interval '1 min');
SELECT check_name, ok, detail, remedy FROM session_guard.health() WHERE guard = 'public.by_uuid';
SELECT session_guard.reconcile('"Odd Schema".people');
SELECT name, schema_name, table_name, id_column, active_column FROM session_guard.guard WHERE name = 'public.by_uuid';
SELECT bool_and(ok) FROM session_guard.health() WHERE guard = 'public.by_uuid';

-- A table that is dropped and made again under its name takes its epochs over.
UPDATE by_varchar SET active = false WHERE id = '1';
SELECT user_id, epoch FROM session_guard.epoch WHERE guard = 'public.by_varchar' AND user_id = '1' \gset before_
DROP TABLE by_varchar;
CREATE TABLE by_varchar (id varchar(40) PRIMARY KEY, active boolean);
INSERT INTO by_varchar VALUES ('1', true), ('5', true);
SELECT session_guard.attach('by_varchar');
SELECT session_guard.epoch_of('by_varchar', '1') = :'before_epoch' AS has_its_epoch,
       session_verdict('by_varchar', '1', :'before_epoch'::timestamptz - interval '1 s'), session_verdict('by_varchar', '5', now());
SELECT count(*) FROM session_guard.guard WHERE table_name = 'by_varchar';
-- Also when it was detached before it was dropped.
SELECT session_guard.detach('by_varchar');
DROP TABLE by_varchar;
CREATE TABLE by_varchar (id varchar(40) PRIMARY KEY, active boolean);
INSERT INTO by_varchar VALUES ('1', true);
SELECT session_guard.attach('by_varchar');
SELECT session_guard.epoch_of('by_varchar', '1') = :'before_epoch' AS has_its_epoch;
-- That of a table that was only renamed stays with it, until it is moved.
ALTER TABLE by_varchar RENAME TO was_by_varchar;
CREATE TABLE by_varchar (id varchar(40) PRIMARY KEY, active boolean);
INSERT INTO by_varchar VALUES ('1', true);
SELECT session_verdict('by_varchar', '1', now());
SELECT session_guard.attach('by_varchar');
SELECT session_guard.detach('public.was_by_varchar'), session_guard.attach('public.by_varchar');
SELECT session_guard.epoch_of('by_varchar', '1') = :'before_epoch' AS has_its_epoch;
SELECT count(*) FROM session_guard.guard WHERE name ~ 'by_varchar';
SELECT session_verdict('was_by_varchar', '1', now());

-- Edits of the guards' table by hand count at once.
SELECT session_verdict('by_int', 1, now());
UPDATE session_guard.guard SET active_column = 'active' WHERE name = 'public.by_int';
SELECT session_verdict('by_int', 1, now());
UPDATE session_guard.guard SET active_column = 'enabled', revoke_on = '{password}' WHERE name = 'public.by_int';
SELECT session_verdict('by_int', 1, now());
SELECT session_guard.reconcile('by_int');
SELECT session_verdict('by_int', 1, now());

-- Accounts disabled while the triggers were off are stamped by reconcile, of one guard or of all.
ALTER TABLE by_text ADD UNIQUE (id);
SELECT session_guard.attach('by_text');
ALTER TABLE by_text DISABLE TRIGGER ALL;
ALTER TABLE by_bigint DISABLE TRIGGER session_guard_update;
DROP TRIGGER session_guard_delete ON by_int;
ALTER TABLE by_varchar ENABLE REPLICA TRIGGER session_guard_truncate;
UPDATE by_text SET active = false WHERE id = '1';
SELECT guard, detail, remedy FROM session_guard.health() WHERE check_name = 'armed' AND NOT ok ORDER BY guard;
SELECT session_guard.reconcile('by_text');
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.by_text' AND user_id = '1';
SELECT session_guard.reconcile();
SELECT count(*) FROM session_guard.health() WHERE check_name = 'armed' AND NOT ok;

-- A column that says the opposite would lock out everybody: that is told. The right form ends the sessions from before.
CREATE TABLE by_inactive (id int PRIMARY KEY, inactive boolean);
SELECT session_guard.attach('by_inactive', active_column => 'inactive'), session_guard.detach('by_inactive', true);
INSERT INTO by_inactive VALUES (1, false), (2, false);
SELECT session_guard.attach('by_inactive', active_column => 'inactive');
SELECT session_verdict('by_inactive', 1, now());
-- Once is enough.
SELECT session_guard.reconcile('by_inactive'), session_guard.attach('by_inactive');
SELECT now() AS login \gset
SELECT session_guard.attach('by_inactive', active_when => 'false');
SELECT session_verdict('by_inactive', 1, :'login'), session_verdict('by_inactive', 1, clock_timestamp() + interval '5 s');
DROP TABLE by_inactive;

DROP EXTENSION pg_session_guard;
SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE tgname LIKE 'session\_guard%';
DROP SCHEMA "Odd Schema" CASCADE;
DROP TABLE by_int, by_bigint, by_text, by_varchar, was_by_varchar;
