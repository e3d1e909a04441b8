-- Policies are rows, so that no client's options, no parallel worker and no library that is loaded late can lose them.
CREATE TABLE users (id int PRIMARY KEY, active boolean DEFAULT true);
INSERT INTO users SELECT generate_series(1, 1000);
ANALYZE users;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');
CREATE VIEW policies AS
    SELECT future_login_tolerance, stamp_margin, when_disarmed, audit, notify, revocation_durability, max_standby_staleness, when_timeline_changed FROM session_guard.policy;
SELECT * FROM policies;
SELECT count(*) FROM pg_settings WHERE name ~ '^session_guard\.' AND name <> 'session_guard.cache_entries';

-- Each is set alone, and leaves the others. An edit counts at once.
SELECT session_guard.configure(future_login_tolerance => '1 min');
SELECT session_guard.configure(stamp_margin => '5 s', when_disarmed => 'refuse');
SELECT session_guard.configure(audit => false, notify => true, revocation_durability => 'remote_apply', max_standby_staleness => '20 s', when_timeline_changed => 'refuse');
SELECT session_guard.configure();
SELECT * FROM policies;
SELECT count(*), bool_and(set_by = session_user) AS by_me FROM session_guard.policy;
SELECT session_verdict(1, clock_timestamp() + interval '59 s');
UPDATE session_guard.policy SET future_login_tolerance = '0', revocation_durability = 'local';
SELECT session_verdict(1, clock_timestamp() + interval '59 s');
UPDATE users SET active = NOT active WHERE id = 2;
SELECT count(*) AS events, (SELECT epoch - stamped_at > interval '5 s' FROM session_guard.epoch WHERE user_id = '2') AS has_margin FROM session_guard.event;
-- Undone with the transaction, or with a savepoint.
BEGIN;
SELECT session_guard.configure(future_login_tolerance => '1 day');
SELECT session_verdict(1, clock_timestamp() + interval '1 h');
SAVEPOINT a;
SELECT session_guard.configure(future_login_tolerance => '0');
SELECT session_verdict(1, clock_timestamp() + interval '1 h');
ROLLBACK TO a;
SELECT session_verdict(1, clock_timestamp() + interval '1 h');
ROLLBACK;
SELECT session_verdict(1, clock_timestamp() + interval '1 h');

-- A client that asks for others at connect; a library that is loaded late, or by the first call of a parallel worker.
SELECT session_guard.configure(revocation_durability => 'local');
ALTER TABLE users DISABLE TRIGGER session_guard_insert;
CREATE FUNCTION may(id int, login timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN session_valid(id, login); END';
\c -reuse-previous=on "options='-c session_guard.when_disarmed=live -c session_guard.stamp_margin=0 -c session_guard.notify=off'"
SET client_min_messages = error;
SELECT session_valid(1, now());
SELECT when_disarmed, stamp_margin, notify FROM policies;
\c -reuse-previous=on "options=''"
SET session_guard.when_disarmed = live;
SET client_min_messages = error;
SELECT session_valid(1, now());
SHOW session_guard.when_disarmed;
SET session_guard.when_disarmed = live;
\c -
SET client_min_messages = error;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM users WHERE may(id, now());
SELECT session_valid(1, now());
RESET client_min_messages;
SELECT session_guard.reconcile() >= 0 AS is_armed;
SELECT count(*) FROM users WHERE may(id, now());
RESET ALL;

-- What is no policy: values out of their range, other words, by configure and by hand.
CREATE FUNCTION mistake(statement text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END $$;
SELECT argument, m.* FROM unnest(ARRAY[
    $$future_login_tolerance => '-1 us'$$, $$future_login_tolerance => '1 day'$$, $$future_login_tolerance => '1 day 1 us'$$, $$future_login_tolerance => '1 month'$$,
    $$stamp_margin => '-1 day 2 days'$$, $$stamp_margin => '25 h'$$, $$max_standby_staleness => '100 years'$$, $$max_standby_staleness => '-178000000 years'$$,
    $$when_disarmed => 'LIVE'$$, $$when_disarmed => ''$$, $$when_disarmed => 'refuse '$$, $$when_timeline_changed => 'remote_apply'$$, $$revocation_durability => 'live'$$,
    $$revocation_durability => repeat('x', 1000000)$$, $$audit => NULL$$]) AS argument, mistake('SELECT session_guard.configure(' || argument || ')') AS m;
SELECT code FROM mistake($$UPDATE session_guard.policy SET stamp_margin = '2 days'$$);
SELECT code FROM mistake($$UPDATE session_guard.policy SET when_disarmed = 'maybe'$$);
SELECT code FROM mistake($$UPDATE session_guard.policy SET audit = NULL$$);

-- Of several rows, as after a restored dump, the one that was set last counts; of none, the defaults. configure leaves one.
SELECT session_guard.configure(future_login_tolerance => '1 h', stamp_margin => '0', when_disarmed => 'live', audit => true, notify => false, when_timeline_changed => 'live', max_standby_staleness => '0');
INSERT INTO session_guard.policy (set_at, future_login_tolerance) VALUES ('2000-01-01', '1 min');
SELECT session_verdict(1, clock_timestamp() + interval '10 min');
INSERT INTO session_guard.policy (set_at, future_login_tolerance) VALUES (clock_timestamp(), '2 min');
SELECT session_verdict(1, clock_timestamp() + interval '10 min');
SELECT session_guard.configure(audit => true);
SELECT count(*), max(future_login_tolerance) FROM session_guard.policy;
TRUNCATE session_guard.policy;
SELECT session_verdict(1, clock_timestamp() + interval '9 s'), session_verdict(1, clock_timestamp() + interval '15 s');
SELECT session_guard.configure(notify => false);
SELECT * FROM policies;

-- Warm backends hear of it, and checks in parallel workers.
SELECT session_valid(3, now());
SELECT session_guard.configure(future_login_tolerance => '0');
SELECT session_verdict(3, clock_timestamp() + interval '5 s');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM users WHERE session_valid(id, clock_timestamp() + interval '1 h');
SELECT session_guard.configure(future_login_tolerance => '1 day');
SELECT count(*) FROM users WHERE session_valid(id, (SELECT clock_timestamp() + interval '1 h'));
RESET ALL;

-- The one setting that is left says how much a backend keeps, and not what it answers.
SET session_guard.cache_entries = 64;
SELECT count(*) FROM users WHERE session_valid(id, now());
SELECT min_val, max_val, context FROM pg_settings WHERE name = 'session_guard.cache_entries';

DROP VIEW policies;
DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP FUNCTION may, mistake;
