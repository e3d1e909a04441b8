-- active_when 'past' and 'future': bans that run out and accounts that expire, without anybody writing.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;

-- Each type of time. A timestamp is in UTC, and a date begins at midnight in UTC, whatever the session's time zone says.
SET TimeZone = 'Pacific/Kiritimati';
CREATE DOMAIN instant AS timestamptz;
CREATE TABLE bans (id int PRIMARY KEY, tz timestamptz, ts timestamp, d date, dom instant);
INSERT INTO bans SELECT id, at, at AT TIME ZONE 'UTC', CASE WHEN isfinite(at) THEN (at AT TIME ZONE 'UTC')::date ELSE at::date END, at
    FROM (VALUES (1, NULL::timestamptz), (2, '-infinity'), (3, now() - interval '2 days'), (4, now() + interval '2 days'), (5, 'infinity')) AS v (id, at);
CREATE PROCEDURE show_verdicts(form text) LANGUAGE plpgsql AS $$
DECLARE status text; verdicts text; started text;
BEGIN
    FOREACH status IN ARRAY ARRAY['tz', 'ts', 'd', 'dom'] LOOP
        SET LOCAL client_min_messages = warning;
        PERFORM session_guard.attach('bans', active_column => status, active_when => form);
        DELETE FROM session_guard.epoch;
        COMMIT;
        SELECT string_agg(session_verdict('bans', id, now() - interval '1 day') || '/' || session_verdict('bans', id, now() - interval '4 days') || '/' || session_verdict('bans', id, NULL), ' ' ORDER BY id),
               string_agg((session_start('bans', id) IS NOT NULL)::text, ' ' ORDER BY id)
        INTO verdicts, started FROM bans;
        RAISE INFO '% %: % | %', form, status, verdicts, started;
    END LOOP;
END $$;
CALL show_verdicts('past');
CALL show_verdicts('future');
RESET TimeZone;

-- What does not fit is refused, with what does.
CREATE TABLE shapes (id int PRIMARY KEY, active boolean, at timestamptz, t time, n int, s text, j json);
CREATE FUNCTION refusal(status text, form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text;
BEGIN
    PERFORM session_guard.attach('shapes', active_column => status::name, active_when => form);
    RETURN 'attached';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN state || ': ' || message || E'\n' || detail || E'\n' || hint;
END $$;
\pset format unaligned
\pset tuples_only on
SELECT refusal('at', 'true');
SELECT refusal('active', 'past');
SELECT refusal('n', 'future');
SELECT refusal('t', 'past');
SELECT refusal('s', 'maybe');
SELECT refusal('j', '{a}');
\pset tuples_only off
\pset format aligned

-- A ban that runs out by itself: who logged in before its end stays out, and who logs in after it is in, also for a
-- connection that knows the account from before.
CREATE TABLE banned (id int PRIMARY KEY, banned_until timestamptz);
INSERT INTO banned VALUES (1, NULL);
SELECT session_guard.attach('banned', active_column => 'banned_until', active_when => 'past', is_default => true);
DELETE FROM session_guard.event;
CREATE TABLE login (name text PRIMARY KEY, at timestamptz);
INSERT INTO login VALUES ('before', session_start(1));
SELECT session_verdict(1, at) FROM login;
WITH ban AS (UPDATE banned SET banned_until = clock_timestamp() + interval '5 s' RETURNING banned_until)
INSERT INTO login SELECT 'during', banned_until - interval '0.1 s' FROM ban;
SELECT name, session_verdict(1, at), session_start(1) FROM login ORDER BY name;
SELECT pg_sleep_until(banned_until + interval '0.1 s') FROM banned;
INSERT INTO login VALUES ('after', session_start(1));
SELECT name, session_verdict(1, at), session_verdict(1, at) FROM login ORDER BY name;
SELECT reason FROM session_guard.event ORDER BY id;

-- The row forgets the ban: the logins stay out. The user's own session goes on.
UPDATE banned SET banned_until = NULL;
SELECT name, session_verdict(1, at) FROM login ORDER BY name;
SELECT reason, user_id FROM session_guard.event ORDER BY id;
-- The same for an earlier time; a later one that has passed, too, the row says itself.
INSERT INTO banned VALUES (2, now() - interval '1 hour'), (3, now() - interval '1 hour');
UPDATE banned SET banned_until = banned_until - interval '1 hour' WHERE id = 2;
UPDATE banned SET banned_until = banned_until + interval '30 min' WHERE id = 3;
SELECT id, session_verdict(id, now() - interval '90 min') AS before, session_verdict(id, now() - interval '45 min') AS between, session_verdict(id, now() - interval '15 min') AS after FROM banned WHERE id > 1 ORDER BY id;
SELECT user_id, reason FROM session_guard.event WHERE user_id > '1' ORDER BY id;
-- A ban that is lifted early is an enable, and one that is made longer nothing.
UPDATE banned SET banned_until = now() + interval '1 hour' WHERE id = 2;
UPDATE banned SET banned_until = now() + interval '2 hours' WHERE id = 2;
UPDATE banned SET banned_until = '-infinity' WHERE id = 2;
SELECT reason FROM session_guard.event WHERE user_id = '2' ORDER BY id;
-- Another column says from now on who is active: the end of the ban is kept.
ALTER TABLE banned ADD active boolean DEFAULT true;
SELECT session_guard.attach('banned', active_column => 'active', active_when => 'true');
SELECT session_verdict(3, now() - interval '45 min');
UPDATE banned SET active = true WHERE id = 3;
SELECT session_verdict(3, now() - interval '45 min');

-- The margin for clocks of app servers counts as for stamps.
SELECT session_guard.attach('banned', active_column => 'banned_until', active_when => 'past');
INSERT INTO banned VALUES (4, now() - interval '1 minute');
SELECT session_verdict(4, now() - interval '50 s');
SELECT session_guard.configure(stamp_margin => '20 s');
SELECT session_verdict(4, now() - interval '50 s'), session_verdict(4, now() - interval '30 s');
SELECT session_guard.configure(stamp_margin => '0');

-- An account that expires: valid until then, and not a moment longer, also where it is known from before.
CREATE TABLE trials (id int PRIMARY KEY, expires_at timestamptz);
INSERT INTO trials VALUES (2, NULL), (3, now() - interval '1 hour');
SELECT session_guard.attach('trials', active_column => 'expires_at', active_when => 'future', is_default => true);
DELETE FROM login;
WITH trial AS (INSERT INTO trials VALUES (1, clock_timestamp() + interval '8 s'))
INSERT INTO login VALUES ('trial', clock_timestamp());
SELECT session_verdict(1, at), session_verdict(1, at) FROM login;
SELECT count(*) FILTER (WHERE session_valid(1, at)) BETWEEN 1 AND 9 AS expires_within_a_statement
    FROM login, generate_series(-5, 4) AS n, LATERAL (SELECT pg_sleep_until(expires_at + n * interval '0.3 s') FROM trials WHERE id = 1) AS s;
SELECT session_verdict(1, at), session_start(1) FROM login;
-- An extension after that is an enable: the old session stays out.
UPDATE trials SET expires_at = now() + interval '1 hour' WHERE id = 1;
SELECT session_verdict(1, at), session_start(1) IS NOT NULL AS can_log_in FROM login;
-- One before that ends nothing, and the new time counts.
DELETE FROM login;
INSERT INTO login VALUES ('extended', session_start(1));
UPDATE trials SET expires_at = now() + interval '2 hours' WHERE id = 1;
UPDATE trials SET expires_at = 'infinity' WHERE id = 1;
UPDATE trials SET expires_at = NULL WHERE id = 1;
SELECT session_verdict(1, at) FROM login;
UPDATE trials SET expires_at = now() - interval '1 s' WHERE id = 1;
SELECT session_verdict(1, at) FROM login;
SELECT user_id, reason FROM session_guard.event WHERE guard = 'public.trials' ORDER BY id;

-- An extension that commits after the account has expired: it was out meanwhile, and stays so.
INSERT INTO trials VALUES (4, clock_timestamp() + interval '4 s');
DELETE FROM login;
INSERT INTO login VALUES ('late', session_start(4));
SELECT expires_at FROM trials WHERE id = 4 \gset
BEGIN;
UPDATE trials SET expires_at = clock_timestamp() + interval '1 hour' WHERE id = 4;
SELECT pg_sleep_until(:'expires_at'::timestamptz + interval '0.1 s');
COMMIT;
SELECT session_verdict(4, at), session_start(4) IS NOT NULL AS can_log_in FROM login;
SELECT reason FROM session_guard.event WHERE guard = 'public.trials' AND user_id = '4';

-- When a prepared transaction will commit nobody knows.
INSERT INTO trials VALUES (6, now() + interval '1 hour');
DELETE FROM login;
INSERT INTO login VALUES ('prepared', session_start(6));
BEGIN;
UPDATE trials SET expires_at = now() + interval '2 hours' WHERE id = 6;
PREPARE TRANSACTION 'extended';
COMMIT PREPARED 'extended';
SELECT session_verdict(6, at), session_start(6) IS NOT NULL AS can_log_in FROM login;

-- One that is rolled back to a savepoint does not count, and one before the savepoint does.
INSERT INTO trials SELECT id, now() + interval '1 hour' FROM generate_series(7, 9) AS id;
DELETE FROM login;
INSERT INTO login VALUES ('undone', session_start(7)), ('undone twice', session_start(8)), ('not undone', session_start(9));
BEGIN;
UPDATE trials SET expires_at = now() + interval '2 hours' WHERE id = 9;
SAVEPOINT extended;
UPDATE trials SET expires_at = now() + interval '3 hours' WHERE id IN (7, 8, 9);
ROLLBACK TO extended;
UPDATE trials SET expires_at = now() + interval '2 hours' WHERE id = 8;
ROLLBACK TO extended;
PREPARE TRANSACTION 'undone';
COMMIT PREPARED 'undone';
SELECT name, session_verdict(id, at) FROM login JOIN (VALUES ('undone', 7), ('undone twice', 8), ('not undone', 9)) AS v(name, id) USING (name)
    ORDER BY id;

-- What the clock alone has ended stays ended where the guard is taken off, and the column cleared.
SELECT session_guard.detach('trials');
UPDATE trials SET expires_at = NULL WHERE id = 3;
SELECT session_guard.attach('trials', is_default => true) >= 0 AS is_attached;
SELECT session_verdict(3, now() - interval '2 hours');

-- Accounts that have expired are no gap.
INSERT INTO trials VALUES (5, now() - interval '1 hour');
SELECT check_name, ok, detail FROM session_guard.health() WHERE guard = 'public.trials' AND check_name IN ('disabled_accounts', 'status_values', 'armed');
SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
DROP TABLE bans, shapes, banned, login, trials;
DROP DOMAIN instant;
DROP PROCEDURE show_verdicts;
DROP FUNCTION refusal;
