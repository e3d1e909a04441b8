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

-- It lasts when the guard is repaired, and when attach is not told otherwise; it changes, or goes with '0', at once, also
-- for who has asked before.
ALTER TABLE users DISABLE TRIGGER USER;
SELECT session_verdict(1, now() - interval '13 h');
SELECT session_guard.reconcile();
SELECT session_verdict(1, now() - interval '13 h');
SELECT session_guard.attach('users', max_session_age => '1 month');
SELECT session_verdict(1, now() - interval '29 days'), session_verdict(1, now() - interval '31 days');
SELECT session_guard.attach('users', revoke_on => '{}');
SELECT session_verdict(1, now() - interval '29 days'), session_verdict(1, now() - interval '31 days');
SELECT session_guard.attach('users', max_session_age => '0');
SELECT max_session_age FROM session_guard.guard;
SELECT session_verdict(1, now() - interval '31 days'), session_verdict(1, NULL::timestamptz);
UPDATE session_guard.guard SET max_session_age = '1 h';
SELECT session_verdict(1, now() - interval '2 h');

-- One that is longer than any session can be is none.
SELECT session_guard.attach('users', max_session_age => '178000000 years');
SELECT session_verdict(1, '4713-01-01 BC'::timestamptz), session_verdict(1, '-infinity'::timestamptz), session_verdict(1, NULL::timestamptz);
DO $$
BEGIN
    -- PostgreSQL 15 and 16 have no such interval.
    EXECUTE $do$SELECT session_guard.attach('users', max_session_age => 'infinity')$do$;
EXCEPTION WHEN invalid_datetime_format THEN
    NULL;
END $$;
SELECT session_verdict(1, '4713-01-01 BC'::timestamptz), session_verdict(1, '-infinity'::timestamptz), session_verdict(1, NULL::timestamptz);
SELECT max_session_age FROM session_guard.guard;
UPDATE session_guard.guard SET max_session_age = '1 h';

-- Its hint leaves it as it is.
ALTER TABLE users RENAME active TO enabled;
ALTER TABLE users ADD active boolean;
SELECT session_verdict(1, now());
DO $$
DECLARE hint text;
BEGIN
    PERFORM session_valid(1, now());
EXCEPTION WHEN ambiguous_column THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    EXECUTE regexp_replace(hint, '^.*, run: ', '');
END $$;
SELECT session_verdict(1, now()), session_verdict(1, now() - interval '2 h');
SELECT session_guard.attach('users', max_session_age => '-1 d');
\echo :LAST_ERROR_SQLSTATE
SELECT max_session_age FROM session_guard.guard;

-- An epoch far ahead, stamped by a clock that was wrong, gives out no login whose age nobody could tell; one that lies
-- ahead by the margin does.
SELECT session_guard.attach('users', max_session_age => '1 h');
INSERT INTO session_guard.epoch VALUES ('public.users', '8', clock_timestamp() + interval '20 h', 'by hand'), ('public.users', '9', clock_timestamp() + interval '50 s', 'by hand');
SELECT epoch AS ahead FROM session_guard.epoch WHERE user_id = '8' \gset
SELECT session_start(8), session_verdict(8, :'ahead'), session_start(9) > now() AS is_ahead, session_verdict(9, session_start(9));
SELECT ok FROM session_guard.health() WHERE check_name = 'epochs_ahead';
SELECT session_guard.configure(stamp_margin => '1 day');
SELECT session_start(8) = :'ahead' AS is_given, session_verdict(8, :'ahead');
SELECT session_guard.configure(stamp_margin => '0');
SELECT session_guard.attach('users', max_session_age => '0');
SELECT session_start(8) = :'ahead' AS is_given, session_verdict(8, :'ahead');

-- A session that began at an epoch ahead of the clock expires by its login time, as any other does.
SELECT session_guard.configure(stamp_margin => '1 s');
SELECT session_guard.attach('users', max_session_age => '1 s');
SELECT session_guard.revoke_sessions(5) IS NOT NULL AS is_revoked;
SELECT session_verdict(5, session_start(5)), session_start(5) >= session_guard.epoch_of(5) AS is_past_the_epoch;
SELECT session_start(5) AS login \gset
SELECT session_guard.configure(stamp_margin => '0');
SELECT session_verdict(5, :'login') FROM pg_sleep(extract(epoch FROM :'login'::timestamptz - clock_timestamp()) + 1.1);

DROP EXTENSION pg_session_guard;
DROP TABLE users;
