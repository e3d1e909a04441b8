-- Answers are the same without the indexes of the extension's own tables, and for a client that ignores system indexes.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, n <> 3 FROM generate_series(1, 9) AS n;
CREATE TABLE named (id text PRIMARY KEY, active boolean);
INSERT INTO named VALUES ('ann', true), ('bob', false);
CREATE TABLE customer (id int, dashboard text);
INSERT INTO customer VALUES (1, 'd1'), (2, 'd2'), (3, 'other');
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users'), session_guard.attach('named');
SELECT clock_timestamp() AS login \gset
SELECT session_guard.revoke_sessions(1) IS NOT NULL, session_guard.revoke_tokens('dashboard', 'd1') IS NOT NULL,
       session_guard.revoke_tokens('scope') IS NOT NULL, session_guard.revoke_all_sessions('named') IS NOT NULL AS are_revoked;
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_reader;
GRANT SELECT ON customer TO regress_reader;
SELECT session_guard.grant_access('regress_reader');
CREATE FUNCTION login() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT current_setting('app.login')::timestamptz $$;
CREATE POLICY token ON customer USING (token_valid('dashboard', dashboard, login()));
CREATE POLICY scope ON customer AS RESTRICTIVE USING (dashboard <> 'other' OR token_valid('scope', dashboard, login()));

-- All that can be asked; the same each time.
\set answers 'SELECT (SELECT string_agg(session_verdict(id, :''login''), '','' ORDER BY id) FROM users) AS users, (SELECT string_agg(session_verdict(''named'', id, :''login''), '','' ORDER BY id) FROM named) AS named, session_guard.epoch_of(1) IS NOT NULL AS epoch, token_valid(''dashboard'', ''d1'', :''login'') AS d1, token_valid(''dashboard'', ''d2'', :''login'') AS d2, token_valid(''dashboard'', NULL, :''login'') AS no_subject, token_valid(''scope'', ''x'', :''login'') AS scope, (SELECT count(*) FROM session_guard.history(1)) AS events;'
\set visible 'SET app.login = :''login''; SET ROLE regress_reader; SELECT id FROM customer ORDER BY id; RESET ROLE;'
:answers
:visible

-- A client that asks for it.
\c -reuse-previous=on "options='-c ignore_system_indexes=on'"
SHOW ignore_system_indexes;
:answers
:visible
UPDATE users SET active = false WHERE id = 5;
UPDATE users SET active = true WHERE id = 5;
SELECT session_verdict(5, :'login'), session_guard.revoke_tokens('dashboard', 'd9') IS NOT NULL AS d9;
SELECT token_valid('dashboard', 'd9', :'login');
\c -reuse-previous=on "options=''"

-- Indexes renamed, dropped, rebuilt under another name, by the way of an exchange.
ALTER INDEX session_guard.token_epoch_key RENAME TO a;
ALTER INDEX session_guard.token_epoch_of_scope RENAME TO b;
ALTER INDEX session_guard.epoch_pkey RENAME TO c;
ALTER INDEX session_guard.guard_epoch_pkey RENAME TO d;
:answers
UPDATE users SET active = false WHERE id = 6;
UPDATE users SET active = true WHERE id = 6;
SELECT session_verdict(6, :'login'), session_guard.revoke_tokens('dashboard', 'd9') > :'login', session_guard.revoke_tokens('scope') > :'login', session_guard.revoke_all_sessions('named') > :'login';
\c -
:answers
:visible
CREATE UNIQUE INDEX CONCURRENTLY e ON session_guard.token_epoch (scope, subject);
DROP INDEX session_guard.a;
:answers
ALTER INDEX session_guard.e RENAME TO token_epoch_key;
:answers
-- With none at all, for the time of a repair: checks go on.
BEGIN;
ALTER TABLE session_guard.epoch DROP CONSTRAINT c;
ALTER TABLE session_guard.guard_epoch DROP CONSTRAINT d;
DROP INDEX session_guard.token_epoch_key, session_guard.b, session_guard.event_of_user;
ALTER TABLE session_guard.guard DROP CONSTRAINT guard_pkey;
:answers
:visible
ROLLBACK;
-- Put in place by constraints that were there beside.
BEGIN;
CREATE UNIQUE INDEX f ON session_guard.epoch (guard, is_related, user_id);
ALTER TABLE session_guard.epoch DROP CONSTRAINT c, ADD CONSTRAINT epoch_pkey PRIMARY KEY USING INDEX f;
:answers
UPDATE users SET active = false WHERE id = 7;
UPDATE users SET active = true WHERE id = 7;
SELECT session_verdict(7, :'login');
ROLLBACK;
-- An index that lacks rows, or is of no use: partial, of an expression, not valid.
BEGIN;
ALTER TABLE session_guard.epoch DROP CONSTRAINT c;
CREATE UNIQUE INDEX epoch_pkey ON session_guard.epoch (user_id, guard, is_related) WHERE user_id <> '1';
CREATE UNIQUE INDEX c ON session_guard.epoch ((user_id || 'x'), guard, is_related);
DROP INDEX session_guard.token_epoch_key;
CREATE UNIQUE INDEX token_epoch_key ON session_guard.token_epoch (scope, subject) WHERE subject IS NOT NULL AND subject <> 'd1';
CREATE UNIQUE INDEX x ON session_guard.token_epoch (subject, scope);
CREATE INDEX y ON session_guard.token_epoch USING hash (scope);
:answers
ROLLBACK;
UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('session_guard.c'::regclass, 'session_guard.token_epoch_key'::regclass);
:answers
UPDATE pg_index SET indisvalid = true WHERE indexrelid IN ('session_guard.c'::regclass, 'session_guard.token_epoch_key'::regclass);

-- Rebuilt beside a warm backend, and in a transaction that has stamped.
REINDEX TABLE session_guard.epoch;
REINDEX INDEX CONCURRENTLY session_guard.c;
REINDEX TABLE CONCURRENTLY session_guard.token_epoch;
:answers
BEGIN;
UPDATE users SET active = false WHERE id = 8;
REINDEX TABLE session_guard.epoch;
CLUSTER session_guard.epoch USING c;
UPDATE users SET active = true WHERE id = 8;
SELECT session_verdict(8, :'login');
COMMIT;
SELECT session_verdict(8, :'login');
VACUUM FULL session_guard.epoch, session_guard.token_epoch, session_guard.guard_epoch, session_guard.guard, session_guard.policy;
:answers
:visible
-- The users table's own.
ALTER INDEX users_pkey RENAME TO other;
:answers
BEGIN;
ALTER TABLE users DROP CONSTRAINT other;
:answers
ROLLBACK;

DROP EXTENSION pg_session_guard CASCADE;
DROP TABLE users, named, customer;
DROP FUNCTION login;
DROP OWNED BY regress_reader;
DROP ROLE regress_reader;
