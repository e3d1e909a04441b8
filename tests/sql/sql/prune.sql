-- prune removes what is old and belongs to nobody, and nothing that still keeps a session or a token out.
SET TimeZone = 'UTC';
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, true FROM generate_series(1, 20) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');
UPDATE users SET active = false WHERE id <= 5;
DELETE FROM users WHERE id > 10;
INSERT INTO session_guard.epoch VALUES ('public.users', '77', now(), 'by hand'), ('public.users', '78', 'infinity', 'by hand');
SELECT session_guard.revoke_tokens('dashboard', 'd1') IS NOT NULL, session_guard.revoke_tokens('dashboard') IS NOT NULL,
       session_guard.revoke_tokens('session', 's1') IS NOT NULL, session_guard.revoke_all_sessions() IS NOT NULL AS are_revoked;
-- Of a table that is gone, nobody knows who is there no more; nor of one that is detached.
CREATE TABLE gone (id int PRIMARY KEY, active boolean);
CREATE TABLE detached (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('gone'), session_guard.attach('detached');
INSERT INTO session_guard.epoch VALUES ('public.gone', '1', now(), 'by hand'), ('public.detached', '1', now(), 'by hand');
DROP TABLE gone;
SELECT session_guard.detach('detached');

-- Nothing is old enough.
SELECT * FROM session_guard.prune('1 day', '1 day');
UPDATE session_guard.event SET at = at - interval '100 days' WHERE reason = 'deleted';
UPDATE session_guard.epoch SET epoch = epoch - interval '100 days', stamped_at = stamped_at - interval '100 days';
UPDATE session_guard.guard_epoch SET epoch = epoch - interval '100 days', stamped_at = stamped_at - interval '100 days';
UPDATE session_guard.token_epoch SET epoch = epoch - interval '100 days', stamped_at = stamped_at - interval '100 days';
SELECT * FROM session_guard.prune('101 days', '101 days');

-- A dry run counts, and removes nothing.
SELECT * FROM session_guard.prune('99 days', '99 days', dry_run => true);
SELECT * FROM session_guard.prune('99 days', '99 days', dry_run => true);
-- One kind alone, or none.
SELECT * FROM session_guard.prune('99 days');
SELECT * FROM session_guard.prune('99 days');
SELECT * FROM session_guard.prune(epochs_older_than => '99 days');
SELECT * FROM session_guard.prune(epochs_older_than => '99 days', dry_run => NULL);
SELECT * FROM session_guard.prune();
SELECT guard, user_id FROM session_guard.epoch ORDER BY guard, user_id::int;
SELECT guard FROM session_guard.guard_epoch;
SELECT scope, subject FROM session_guard.token_epoch;
SELECT reason, count(DISTINCT (guard, user_id, scope, subject)) FROM session_guard.event GROUP BY reason ORDER BY reason;

-- An epoch that was raised just now stays, wherever it lies; so does one that lies ahead, whenever it was raised.
INSERT INTO session_guard.epoch VALUES ('public.users', '79', '2000-01-01', 'by hand', now()), ('public.users', '80', now() + interval '1 year', 'by hand', '2000-01-01');
INSERT INTO session_guard.token_epoch VALUES ('session', 's2', '2000-01-01', 'by hand', now()), ('session', 's3', now() + interval '1 year', 'by hand', '2000-01-01');
SELECT * FROM session_guard.prune(epochs_older_than => '99 days', dry_run => true);
SELECT * FROM session_guard.prune(epochs_older_than => '99 days');

-- An epoch that is younger than a session can be is refused, and so nothing comes back; the age has a unit.
CREATE FUNCTION mistake(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;
SELECT statement, code, message, hint FROM unnest(ARRAY[
    $$prune('0', '0')$$, $$prune('0', '90')$$, $$prune('0', '23:59:59.999999')$$, $$prune('0', '-1 day')$$, $$prune('-1 day')$$, $$prune('-1 day', dry_run => true)$$,
    $$prune('0', '0', dry_run => true)$$]) AS statement, mistake('SELECT session_guard.' || statement);
SELECT session_guard.attach('users', max_session_age => '30 days');
SELECT session_guard.attach('detached', max_session_age => '40 days');
SELECT statement, code, message, hint FROM unnest(ARRAY[
    $$prune(epochs_older_than => '39 days')$$, $$prune(epochs_older_than => '40 days')$$]) AS statement, mistake('SELECT session_guard.' || statement);
-- The epochs of a guard that is detached stay, whatever their age, so that it does not count.
SELECT session_guard.detach('detached');
SELECT code, message FROM mistake($$SELECT session_guard.prune(epochs_older_than => '39 days')$$);
SELECT count(DISTINCT (guard, user_id, scope, subject)) FROM session_guard.event WHERE reason <> 'deleted';

-- A session that was killed stays so.
SELECT session_start(7) AS login \gset
SELECT session_guard.revoke_sessions(7) IS NOT NULL AS is_done;
SELECT * FROM session_guard.prune('0', '100 days');
SELECT session_verdict(7, :'login');

-- Accounts of a partition that is gone may come back with it.
CREATE TABLE parted (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (100);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
SELECT session_guard.attach('parted');
INSERT INTO parted VALUES (1, true), (2, true), (101, true);
UPDATE parted SET active = false WHERE id = 101;
DELETE FROM parted WHERE id = 2;
UPDATE session_guard.epoch SET epoch = epoch - interval '200 days', stamped_at = stamped_at - interval '200 days' WHERE guard = 'public.parted';
ALTER TABLE parted DETACH PARTITION parted_2;
SELECT * FROM session_guard.prune(NULL, '100 days');
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
SELECT user_id FROM session_guard.epoch WHERE guard = 'public.parted' ORDER BY 1;
SET client_min_messages = error;
SELECT session_guard.reconcile('parted') >= 0 AS is_done;
RESET client_min_messages;
SELECT removed FROM session_guard.prune(NULL, '100 days') WHERE relation = 'epoch';
SELECT session_guard.detach('parted', forget => true);
DROP TABLE parted;

-- It is the extension's owner's, in a transaction that may write.
CREATE ROLE regress_acting;
GRANT USAGE ON SCHEMA session_guard TO regress_acting;
SET ROLE regress_acting;
SELECT code, message FROM mistake($$SELECT session_guard.prune('1 day')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION session_guard.prune TO regress_acting;
SET ROLE regress_acting;
SELECT code, message FROM mistake($$SELECT session_guard.prune('1 day')$$);
RESET ROLE;
BEGIN READ ONLY;
SELECT session_guard.prune('1 day');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

DROP EXTENSION pg_session_guard;
DROP TABLE users, detached;
DROP FUNCTION mistake;
DROP ROLE regress_acting;
