-- A table's owner who makes triggers that name another's guard or watch gets none of it, though both were attached in one
-- transaction.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE ROLE regress_mallory; CREATE ROLE regress_victim;
CREATE SCHEMA v AUTHORIZATION regress_victim; CREATE SCHEMA m AUTHORIZATION regress_mallory;
SET ROLE regress_victim;
CREATE TABLE v.users (id bigint PRIMARY KEY, active boolean NOT NULL DEFAULT true); INSERT INTO v.users VALUES (1), (2);
CREATE TABLE v.role (user_id bigint);
SET ROLE regress_mallory;
CREATE TABLE m.users (id bigint PRIMARY KEY, active boolean NOT NULL DEFAULT true); INSERT INTO m.users VALUES (1);
CREATE TABLE m.role (user_id bigint);
RESET ROLE;
GRANT USAGE ON SCHEMA session_guard TO regress_mallory, regress_victim;
GRANT EXECUTE ON FUNCTION session_guard.detach, session_guard.reconcile TO regress_mallory;
BEGIN;
SELECT session_guard.attach('v.users', is_default => true), session_guard.attach('m.users');
SELECT session_guard.watch('v.role', 'user_id', users => 'v.users'), session_guard.watch('m.role', 'user_id', users => 'm.users');
COMMIT;
CREATE TABLE login AS SELECT id AS user_id, session_start('v.users', id) AS login_at FROM v.users;
SELECT session_guard.revoke_sessions(1, 'stolen', 'v.users') IS NOT NULL AS is_out;
CREATE VIEW verdict AS SELECT user_id, session_verdict('v.users', user_id, login_at) FROM login ORDER BY user_id;
SELECT * FROM verdict;

SET ROLE regress_mallory;
CREATE TRIGGER aaa AFTER INSERT OR DELETE ON m.users FOR EACH ROW EXECUTE FUNCTION session_guard.stamp('v.users');
CREATE TRIGGER bbb AFTER TRUNCATE ON m.users FOR EACH STATEMENT EXECUTE FUNCTION session_guard.stamp('v.users');
CREATE TRIGGER aaa AFTER INSERT ON m.role FOR EACH ROW EXECUTE FUNCTION session_guard.stamp_related('v.users', 'v.role');
INSERT INTO m.users VALUES (2); DELETE FROM m.users WHERE id = 2; TRUNCATE m.users;
INSERT INTO m.role VALUES (2);
SELECT session_guard.reconcile('m.users');
SELECT session_guard.detach('m.users', forget => true);
DROP TRIGGER IF EXISTS session_guard_update ON m.users;
CREATE TRIGGER session_guard_update AFTER UPDATE ON m.users FOR EACH ROW EXECUTE FUNCTION session_guard.stamp('v.users');
SELECT session_guard.detach('m.users', forget => true);
RESET ROLE;
SELECT * FROM verdict;
SELECT user_id, reason FROM session_guard.event ORDER BY at;
SELECT name FROM session_guard.guard ORDER BY name;

-- Nor does the extension's owner, whose table only says so.
CREATE TABLE mine (id bigint PRIMARY KEY, active boolean);
CREATE TRIGGER session_guard_update AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION session_guard.stamp('v.users');
SELECT session_guard.detach('mine', forget => true);
SELECT * FROM verdict;
SELECT count(*) FROM session_guard.guard WHERE name = 'v.users';

-- A watch goes on without the right to change accounts that its owner had, until the extension's owner deletes its row.
GRANT USAGE ON SCHEMA v TO regress_mallory;
GRANT EXECUTE ON FUNCTION session_guard.watch TO regress_mallory;
GRANT UPDATE ON v.users TO regress_mallory;
SET ROLE regress_mallory;
CREATE TABLE m.member (user_id bigint);
SELECT session_guard.watch('m.member', 'user_id', users => 'v.users');
RESET ROLE;
REVOKE UPDATE ON v.users FROM regress_mallory;
UPDATE login SET login_at = session_start('v.users', user_id);
INSERT INTO m.member VALUES (1);
SELECT * FROM verdict;
DELETE FROM session_guard.watch WHERE name = 'm.member';
UPDATE login SET login_at = session_start('v.users', user_id);
SET client_min_messages = error;
INSERT INTO m.member VALUES (1);
SET client_min_messages = warning;
SELECT * FROM verdict;
SELECT count(*) FROM session_guard.unwatched;

DROP EXTENSION pg_session_guard CASCADE;
DROP SCHEMA v, m CASCADE;
DROP TABLE login, mine;
DROP ROLE regress_mallory; DROP ROLE regress_victim;
