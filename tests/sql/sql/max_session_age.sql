-- A session that is older than the guard's max_session_age has expired.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, n <> 3 FROM generate_series(1, 9) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users', max_session_age => '12 hours');
SELECT max_session_age FROM session_guard.guard;
SELECT ago, session_verdict(1, now() - ago) FROM unnest(ARRAY['0', '11 h 59 min', '12 h', '1 d', '-1 h']::interval[]) AS ago;
-- From the cache as from the row; a session without a login time is older than any.
SELECT session_verdict(1, now() - interval '13 h'), session_verdict(1, now()), session_verdict(1, NULL::timestamptz), session_verdict(1, '-infinity'::timestamptz);
SELECT session_valid(1, now() - interval '13 h'), session_valid(1, session_start(1));
-- What is disabled or revoked is that first.
SELECT session_verdict(3, now() - interval '13 h'), session_verdict(99, now() - interval '13 h');
SELECT session_guard.revoke_sessions(2) IS NOT NULL AS is_revoked;
SELECT session_verdict(2, now() - interval '13 h');

-- It lasts when the guard is repaired, and goes, or changes, when the guard is attached otherwise; at once, also for
-- who has asked before.
ALTER TABLE users DISABLE TRIGGER USER;
SELECT session_verdict(1, now() - interval '13 h');
SELECT session_guard.reconcile();
SELECT session_verdict(1, now() - interval '13 h');
SELECT session_guard.attach('users', max_session_age => '1 month');
SELECT session_verdict(1, now() - interval '29 days'), session_verdict(1, now() - interval '31 days');
SELECT session_guard.attach('users');
SELECT session_verdict(1, now() - interval '31 days'), session_verdict(1, NULL::timestamptz);
UPDATE session_guard.guard SET max_session_age = '1 h';
SELECT session_verdict(1, now() - interval '2 h');

-- A hint gives it back.
ALTER TABLE users RENAME active TO enabled;
ALTER TABLE users ADD active boolean;
SELECT session_verdict(1, now());
SELECT session_guard.attach('users', max_session_age => '0'), session_guard.attach('users', max_session_age => '-1 d');

DROP EXTENSION pg_session_guard;
DROP TABLE users;
