-- A transaction that changes rows of more users than it can keep ends everybody's sessions when it commits; what is
-- rolled back with a savepoint ends nobody's, and takes no other user's stamp with it.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE TABLE users (id bigint PRIMARY KEY, active boolean NOT NULL DEFAULT true);
INSERT INTO users VALUES (1), (2), (3);
CREATE TABLE user_role (user_id bigint);
SELECT session_guard.attach('users'), session_guard.watch('user_role', 'user_id');
CREATE TABLE login (user_id bigint, login_at timestamptz);
CREATE FUNCTION ask() RETURNS TABLE (user_id bigint, verdict text) LANGUAGE sql AS $$ SELECT user_id, session_verdict(user_id, login_at) FROM login ORDER BY user_id $$;

INSERT INTO login SELECT id, session_start(id) FROM users;
BEGIN;
INSERT INTO user_role VALUES (1);
SAVEPOINT here;
INSERT INTO user_role SELECT generate_series(2, 250002);
ROLLBACK TO here;
COMMIT;
SELECT * FROM ask();
SELECT user_id, reason FROM session_guard.event;

-- In an exception block, and beside the stamp of a whole guard.
BEGIN;
INSERT INTO user_role VALUES (2);
DO $$ BEGIN INSERT INTO user_role SELECT generate_series(3, 250003); RAISE 'undo'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
COMMIT;
SELECT * FROM ask();

-- Kept: one stamp of the guard, and none before COMMIT.
BEGIN;
SAVEPOINT here;
INSERT INTO user_role SELECT generate_series(1, 250001);
INSERT INTO user_role SELECT generate_series(1, 250001);
RELEASE here;
SELECT * FROM ask();
SELECT count(*) FROM session_guard.guard_epoch;
COMMIT;
SELECT * FROM ask();
SELECT user_id, reason FROM session_guard.event ORDER BY at DESC, user_id LIMIT 1;
SELECT count(*) < 5 AS are_few FROM session_guard.event;

DROP EXTENSION pg_session_guard;
DROP TABLE users, user_role, login;
DROP FUNCTION ask;
