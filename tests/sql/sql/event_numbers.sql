-- Neither a sequence at its end nor a row that somebody has numbered by hand keeps a stamp from being made and recorded.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');
-- Numbers begin past all that other installations have given out: at the microseconds of now.
UPDATE users SET active = false WHERE id = 1;
SELECT id / 1000000 BETWEEN extract(epoch FROM now())::bigint - 100 AND extract(epoch FROM now())::bigint + 1 AS is_of_now FROM session_guard.event;

-- The sequence at its end goes round.
SELECT setval('session_guard.event_id_seq', 9223372036854775806) IS NOT NULL AS is_set;
UPDATE users SET active = false WHERE id = 2;
UPDATE users SET active = false WHERE id = 3;
UPDATE users SET active = false WHERE id = 4;
SELECT user_id, id FROM session_guard.event WHERE user_id IN ('2', '3', '4') ORDER BY user_id;
SELECT session_guard.revoke_sessions(4) IS NOT NULL, session_guard.revoke_tokens('a') IS NOT NULL, session_guard.revoke_all_sessions() IS NOT NULL AS are_done;
SELECT setval('session_guard.event_id_seq', 9223372036854775807) IS NOT NULL AS is_set;
UPDATE users SET active = false WHERE id = 5;
SELECT user_id, id FROM session_guard.event WHERE user_id = '5';

-- Coming numbers that somebody has taken.
SELECT last_value AS last FROM session_guard.event_id_seq \gset
INSERT INTO session_guard.event (id, at, guard, user_id, epoch, reason, login_role, acting_role, transaction_id)
SELECT :last + n, now(), 'public.users', 'taken', now(), 'by hand', 'r', 'r', '1' FROM generate_series(0, 9) AS n;
UPDATE users SET active = false WHERE id = 6;
SELECT session_verdict(6, now());
SELECT reason FROM session_guard.history(6);
SELECT count(*) > 1 AS share_it FROM session_guard.event WHERE id = (SELECT id FROM session_guard.history(6));

-- A number that means two events gives one of them as a security event, and does not fail.
SELECT session_guard.security_event(id) IS NOT NULL AS is_given FROM session_guard.history(6);

DROP EXTENSION pg_session_guard;
DROP TABLE users;
