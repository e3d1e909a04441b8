-- Texts whose collation refuses LIKE, takes two texts for one, or cannot be told, and an id column of another collation than the
-- database's: each function answers as ever. Only ICU has the first.
SELECT NOT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS is_without_icu \gset
\if :is_without_icu
\quit
\endif
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE users (id text COLLATE "und-x-icu" PRIMARY KEY, status text COLLATE caseless, kind char(8) COLLATE caseless, password text COLLATE caseless);
INSERT INTO users VALUES ('ann', 'active', 'a', 'x'), ('ANN', 'active', 'a', 'x'), ('bob', 'ACTIVE', 'A', 'x'), ('cyd', 'banned', 'b', 'x'), ('d1', 'active', 'a', 'x');
CREATE TABLE role (user_id text COLLATE "und-x-icu", name text COLLATE caseless);
CREATE TABLE cookie (user_id varchar COLLATE "und-x-icu", note text);
CREATE TABLE void_from (user_id text COLLATE "und-x-icu" PRIMARY KEY, at timestamptz);
-- Values are compared byte by byte, whatever the column's collation takes for the same.
SELECT session_guard.attach('users', 'id', 'status', '{active}', '{password}');
SELECT session_guard.watch('role', 'user_id', '{name}');
SELECT session_guard.add_store('cookie', 'user_id'), session_guard.add_store('void_from', 'user_id', 'at');
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
SELECT id, session_verdict(id, now()), session_verdict('users', id, now()) FROM users ORDER BY id COLLATE "C";
-- Ids as another table has them: its column is compared without case. Two collations that differ are none.
CREATE TABLE other (id text COLLATE caseless, ru text COLLATE "und-x-icu", reason text COLLATE caseless, login timestamptz);
INSERT INTO other VALUES ('ann', '', 'why');
UPDATE other SET login = session_start(id);
SELECT session_valid(id, login), session_verdict(id, login), session_valid('users', id, login), session_start(id) IS NOT NULL AS is_given,
    session_verdict(upper(id), login), session_guard.epoch_of(id), session_guard.epoch_of('users', id) FROM other;
SELECT session_valid(id || ru, login), session_verdict(id || ru, login AT TIME ZONE 'UTC'), session_start('users', id || ru) IS NOT NULL AS is_given, session_guard.epoch_of(id || ru) FROM other;
SELECT session_verdict('ann' COLLATE caseless, now()), session_verdict('users', 'ann' COLLATE "POSIX", now());
SELECT session_guard.revoke_sessions(id, reason) IS NOT NULL AS is_done FROM other;
SELECT session_verdict(id, login), session_verdict('ANN', login) FROM other;
SELECT session_guard.revoke_sessions(id || ru, reason || ru) IS NOT NULL AS is_done FROM other;
SELECT session_guard.revoke_sessions('ann', 'ADMIN' COLLATE caseless) IS NOT NULL AS is_done;
SELECT h.user_id, h.reason FROM other, session_guard.history(other.id) AS h ORDER BY 2;
SELECT count(*) FROM other, session_guard.history(other.id || ru, 'users');
SELECT session_guard.revoke_all_sessions(reason => reason) IS NOT NULL AS is_done, session_guard.revoke_all_sessions('users', reason || ru) IS NOT NULL FROM other;
SELECT session_guard.revoke_tokens(reason, id, reason) IS NOT NULL AS is_done, session_guard.revoke_tokens(reason || ru, id || ru, reason || ru) IS NOT NULL FROM other;
SELECT token_valid(reason, id, login), token_valid(reason, upper(id), login), token_valid(upper(reason), id, login), token_valid(reason || ru, id || ru, login) FROM other;
SELECT session_guard.revoke_tokens(reason) IS NOT NULL AS is_done FROM other;
SELECT token_valid(reason, upper(id), login), token_valid(upper(reason), id, login) FROM other;

-- What stamps.
SELECT session_start('d1') AS at \gset
INSERT INTO cookie VALUES ('d1'), ('D1');
UPDATE users SET password = 'X' WHERE id = 'd1';
SELECT session_verdict('d1', :'at'), (SELECT string_agg(user_id, ' ') FROM cookie), (SELECT string_agg(user_id, ' ' ORDER BY user_id COLLATE "C") FROM void_from WHERE at > now() - interval '1 min');
SELECT session_start('d1') AS at \gset
INSERT INTO role VALUES ('d1', 'x');
SELECT session_verdict('d1', :'at');
SELECT session_start('d1') AS at \gset
UPDATE role SET name = 'X';
SELECT session_verdict('d1', :'at');
UPDATE users SET status = 'ACTIVE' WHERE id = 'd1';
SELECT session_verdict('d1', now()), (SELECT reason FROM session_guard.history('d1') LIMIT 1);
UPDATE users SET status = 'active' WHERE id = 'd1';
UPDATE users SET id = 'd2' WHERE id = 'd1';
DELETE FROM users WHERE id = 'd2';
SELECT session_verdict('d2', now()), (SELECT reason FROM session_guard.history('d2') LIMIT 1);
-- By a char, the same; told in any collation.
SELECT session_guard.attach('users', active_column => 'kind', active_when => '{a}' COLLATE caseless);
SELECT session_verdict('ann', session_start('ann')), session_verdict('bob', now());
SELECT session_guard.reconcile();
-- Administration.
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
UPDATE session_guard.epoch SET epoch = '2020-01-01', stamped_at = '2020-01-01';
SELECT * FROM session_guard.prune(epochs_older_than => '90 days', dry_run => true);
SELECT * FROM session_guard.prune(epochs_older_than => '90 days');
SELECT string_agg(user_id, ' ' ORDER BY user_id) FROM session_guard.epoch;
SELECT session_guard.configure(when_disarmed => 'REFUSE' COLLATE caseless);
SELECT session_guard.configure(when_disarmed => 'refuse' COLLATE caseless);
-- Without the branch that attach has written, too.
ALTER TABLE users DISABLE TRIGGER session_guard_insert;
SELECT id, session_verdict(id, login), session_start(id) FROM other;
SELECT session_guard.configure(when_disarmed => 'live');
SELECT id, session_verdict(id, login), session_valid(id || ru, login), session_start(id || ru) IS NOT NULL AS is_given FROM other;
SELECT session_guard.unwatch('role'), session_guard.remove_store('cookie'), session_guard.detach('users');

DROP EXTENSION pg_session_guard;
DROP TABLE users, role, cookie, void_from, other;
DROP COLLATION caseless;

-- A database whose own collation is ICU's.
CREATE DATABASE regress_guard_icu TEMPLATE template0 ENCODING UTF8 LOCALE_PROVIDER icu ICU_LOCALE 'de';
\c regress_guard_icu
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id text PRIMARY KEY, active boolean);
CREATE TABLE numbers (id bigint PRIMARY KEY, active boolean);
INSERT INTO users VALUES ('ann', true), ('bob', false);
INSERT INTO numbers VALUES (1, true), (2, false);
SELECT session_guard.attach('users'), session_guard.attach('numbers');
SELECT session_verdict('ann', session_start('ann')), session_verdict('bob', now()), session_verdict('numbers', ' 1 '::text, now()), session_verdict('numbers', 'x'::text, now());
UPDATE users SET active = NOT active;
UPDATE numbers SET active = NOT active;
SELECT session_verdict('ann', now()), session_verdict('bob', now() - interval '1 min'), session_verdict('numbers', 2, now() - interval '1 min');
SELECT count(*) FROM session_guard.history('bob');
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
SELECT * FROM session_guard.prune(epochs_older_than => '90 days');
\c regress_guard_sql
DROP DATABASE regress_guard_icu;
