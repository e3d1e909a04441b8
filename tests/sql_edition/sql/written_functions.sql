-- attach and watch write functions whose statements name the table and its columns. What such a statement depends on is
-- compared first: when it is not as it was, nothing that was written is run. All within one session, so that plans are kept.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE ROLE regress_other;
CREATE TABLE users (id bigint PRIMARY KEY, active boolean NOT NULL DEFAULT true, other boolean NOT NULL DEFAULT true, password text);
INSERT INTO users SELECT g FROM generate_series(1, 9) AS g;
CREATE TABLE user_role (user_id bigint, was_id bigint);
SELECT session_guard.attach('users', revoke_on => '{password}');
SELECT session_guard.watch('user_role', 'user_id');
CREATE TABLE login AS SELECT id, session_start(id) AS at FROM users;
-- How often a call looked the guard up, which the written functions do not.
SET track_functions = 'all';
CREATE FUNCTION looked_up() RETURNS bigint LANGUAGE sql AS $$ SELECT coalesce(pg_stat_get_xact_function_calls('session_guard.open_guard(oid)'::regprocedure), 0) $$;
\set ask 'SELECT session_verdict(id, at), session_verdict(\'users\'::regclass, id, at), looked_up() - :before AS looked_up FROM login WHERE id = 9;'
BEGIN;
SELECT looked_up() AS before \gset
:ask
COMMIT;
-- Nor do stamps.
BEGIN;
SELECT looked_up() AS before \gset
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET password = 'new' WHERE id = 2;
UPDATE users SET id = 103 WHERE id = 3;
INSERT INTO users VALUES (3);
DELETE FROM users WHERE id = 4;
SELECT looked_up() - :before AS looked_up;
INSERT INTO user_role VALUES (5), (6);
UPDATE user_role SET user_id = 7 WHERE user_id = 6;
SELECT looked_up() - :before AS looked_up;
COMMIT;
SELECT login.id, session_verdict(login.id, at), (SELECT string_agg(DISTINCT reason, ', ') FROM session_guard.event AS e WHERE e.user_id = login.id::text) AS reasons FROM login ORDER BY login.id;

-- Ids as the column reads them, and what it cannot.
SELECT id, session_verdict(id, now()) FROM (VALUES ('9'), ('009'), (' 9 '), ('+9'), ('-9'), ('-0'), ('9x'), (''), ('99999999999999999999'), (NULL)) AS v (id);

-- A trigger that is disabled, also in the transaction of attach.
SELECT session_guard.configure(when_disarmed => 'refuse');
ALTER TABLE users DISABLE TRIGGER session_guard_update;
BEGIN;
SELECT looked_up() AS before \gset
:ask
COMMIT;
SELECT session_guard.reconcile('users');
BEGIN;
SELECT looked_up() AS before \gset
:ask
COMMIT;
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users DISABLE TRIGGER session_guard_delete;
SELECT session_guard.reconcile('users');
ALTER TABLE users DISABLE TRIGGER session_guard_delete;
COMMIT;
BEGIN;
SELECT looked_up() AS before \gset
:ask
COMMIT;
SELECT detail FROM session_guard.health() WHERE check_name = 'armed';
SELECT session_guard.reconcile('users'), session_guard.configure(when_disarmed => 'live');
BEGIN;
SELECT looked_up() AS before \gset
:ask
COMMIT;

-- A column that takes another's name.
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users RENAME active TO was_active;
ALTER TABLE users RENAME other TO active;
SELECT session_verdict(9, now());
ROLLBACK;
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users RENAME active TO enabled;
SELECT session_verdict(9, at), looked_up() > :before AS was_looked_up FROM login WHERE id = 9;
UPDATE users SET enabled = false WHERE id = 9;
SELECT session_verdict(9, at) FROM login WHERE id = 9;
ROLLBACK;
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE user_role RENAME user_id TO person;
ALTER TABLE user_role RENAME was_id TO user_id;
INSERT INTO user_role (person, user_id) VALUES (9, 8);
COMMIT;
SELECT id, session_verdict(id, at) FROM login WHERE id >= 8 ORDER BY id;
ALTER TABLE user_role RENAME user_id TO was_id;
ALTER TABLE user_role RENAME person TO user_id;

-- A column of another type.
BEGIN;
SELECT looked_up() AS before \gset
SELECT session_guard.detach('users');
ALTER TABLE users ALTER id TYPE text;
SELECT session_guard.attach('users');
SELECT looked_up() AS before \gset
SELECT session_verdict(8, at), session_verdict('8', at), session_verdict('08', at), looked_up() > :before AS was_looked_up FROM login WHERE id = 8;
ROLLBACK;

-- A table that takes the name of the guarded one: neither it nor what its owner has put on it is looked at.
SELECT session_start(9) AS at \gset
CREATE FUNCTION tell() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'read by %', current_user; RETURN true; END $$;
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users RENAME TO people;
CREATE TABLE users (id bigint PRIMARY KEY, active boolean NOT NULL DEFAULT true, other boolean, password text);
INSERT INTO users SELECT g FROM generate_series(1, 9) AS g;
CREATE POLICY tells ON users USING (tell());
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE users OWNER TO regress_other;
SAVEPOINT here;
SELECT session_verdict('users', 9, now());
ROLLBACK TO here;
SELECT session_verdict('people', 9, :'at');
ROLLBACK TO here;
SELECT session_verdict(9, :'at');
ROLLBACK;
-- Also by schema.
CREATE SCHEMA aside;
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users SET SCHEMA aside;
SELECT session_verdict(9, :'at'), looked_up() > :before AS was_looked_up;
ROLLBACK;

-- A table of another owner.
BEGIN;
SELECT looked_up() AS before \gset
ALTER TABLE users OWNER TO regress_other;
SELECT session_verdict(9, :'at'), looked_up() > :before AS was_looked_up;
ROLLBACK;

-- Rows of the guard that are changed by hand.
BEGIN;
SELECT looked_up() AS before \gset
UPDATE session_guard.guard SET max_session_age = '1 s';
SELECT session_verdict(9, at), session_verdict(8, now() - interval '1 min'), looked_up() > :before AS was_looked_up FROM login WHERE id = 9;
ROLLBACK;
BEGIN;
SELECT looked_up() AS before \gset
UPDATE session_guard.guard SET is_default = false;
SELECT session_verdict(9, :'at');
ROLLBACK;
BEGIN;
SELECT looked_up() AS before \gset
UPDATE session_guard.guard SET detached_at = now();
SELECT session_verdict(9, :'at');
ROLLBACK;

-- Detached, there is no statement left; attached again, there is.
SELECT session_guard.detach('users');
SELECT count(*) FROM pg_proc WHERE proname IN ('verdict', 'stamp', 'stamp_related') AND prosrc ~ 'user_role|ONLY public\.users';
SELECT session_verdict(9, :'at');
SELECT session_guard.attach('users');
SELECT proname FROM pg_proc WHERE proname IN ('verdict', 'stamp', 'stamp_related') AND prosrc ~ 'public\.(users|user_role)' ORDER BY proname;

-- Names and values that end a string, an identifier or a function's body.
CREATE TABLE "it's $f$ a ""table" ("i'd ""$$" text PRIMARY KEY, "-- BRANCHES" text, "%s\" text);
INSERT INTO "it's $f$ a ""table" VALUES (E'o''\\x', E'o''\\k $do$', 'p');
SELECT session_guard.attach('"it''s $f$ a ""table"', E'i''d "$$', '-- BRANCHES', E'{"o''\\\\k $do$"}', ARRAY['%s\']);
BEGIN;
SELECT looked_up() AS before \gset
SELECT session_verdict('"it''s $f$ a ""table"', E'o''\\x', now()), looked_up() - :before AS looked_up;
UPDATE "it's $f$ a ""table" SET "%s\" = 'other';
SELECT session_verdict('"it''s $f$ a ""table"', E'o''\\x', now()), looked_up() - :before AS looked_up;
COMMIT;
SELECT reason FROM session_guard.event WHERE guard ~ 'table';

DROP EXTENSION pg_session_guard;
DROP TABLE users, user_role, login, "it's $f$ a ""table";
DROP SCHEMA aside;
DROP FUNCTION looked_up, tell;
DROP ROLE regress_other;
