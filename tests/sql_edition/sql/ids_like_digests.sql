-- Ids that begin as the digest of a long one, or read as one: they are ids as any others, in stores, watches, attach and prune.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id text PRIMARY KEY, active boolean);
CREATE TABLE role (user_id text);
CREATE TABLE cookie (user_id text);
CREATE TABLE void_from (user_id text PRIMARY KEY, at timestamptz);
SELECT 'sha256:' || repeat('0123456789abcdef', 4) AS digest, repeat('x', 2000) AS long \gset
INSERT INTO users VALUES ('sha256:', true), ('sha256:ann', true), (:'digest', true), (:'long', true), ('bob', true);
SELECT session_guard.attach('users');
SELECT session_guard.watch('role', 'user_id');
SELECT session_guard.add_store('cookie', 'user_id'), session_guard.add_store('void_from', 'user_id', 'at');
INSERT INTO cookie SELECT id FROM users;
UPDATE users SET active = false WHERE id LIKE 'sha256:%';
SELECT user_id FROM cookie WHERE user_id <> :'long';
SELECT count(*) FROM void_from WHERE at > now() - interval '1 min';
-- By a watched table; an id that no account has needs no epoch, whatever it looks like, but for that of a digest.
SELECT session_start('bob') AS at \gset
INSERT INTO role VALUES ('sha256:nobody'), ('sha256:ann'), ('bob'), (:'digest'), (:'long'), ('sha256:' || repeat('f', 64));
SELECT user_id, reason FROM session_guard.epoch WHERE is_related ORDER BY user_id;
SELECT session_verdict('bob', :'at');
-- A store that is added; its column may hold none of these ids.
CREATE TABLE number (user_id int);
INSERT INTO number VALUES (1);
SELECT session_guard.add_store('number', 'user_id');
INSERT INTO cookie VALUES ('sha256:ann'), (:'digest');
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_done;
SELECT count(*) FROM cookie;
-- The users table cannot be read: no row is made for the digest of a long id.
DELETE FROM void_from;
ALTER TABLE users RENAME TO people;
CREATE TABLE users (id text PRIMARY KEY, active boolean);
UPDATE people SET active = NOT active;
SELECT user_id FROM void_from ORDER BY user_id;
DROP TABLE users;
ALTER TABLE people RENAME TO users;
-- Prune: those without an account, but for digests, of which nobody knows.
DELETE FROM users WHERE id LIKE 'sha256:%' OR id = :'long';
UPDATE session_guard.epoch SET epoch = '2020-01-01', stamped_at = '2020-01-01';
SELECT removed FROM session_guard.prune(epochs_older_than => '90 days') WHERE relation = 'epoch';
SELECT user_id, is_related FROM session_guard.epoch ORDER BY user_id, is_related;

DROP EXTENSION pg_session_guard;
DROP TABLE users, role, cookie, void_from, number;
