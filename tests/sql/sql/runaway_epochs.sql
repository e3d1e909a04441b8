-- Epochs do not run away: many rows of one user in one statement, and many changes of one account in one transaction, leave
-- one stamp for each reason, an epoch near the clock, and take time that grows linearly.
CREATE TABLE users (id int PRIMARY KEY, active boolean DEFAULT true, password text);
INSERT INTO users SELECT n FROM generate_series(1, 200) AS n;
CREATE TABLE permission (user_id int, name text);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users', revoke_on => '{password}', max_session_age => '1 min');
SELECT session_guard.watch('permission', 'user_id');
-- Whether the user's epochs were near the clock when they were raised, and what is recorded of the user.
CREATE FUNCTION stamped(who int) RETURNS TABLE (is_near boolean, reasons text) LANGUAGE sql AS $$
    SELECT (SELECT bool_and(epoch - stamped_at BETWEEN '0' AND '2 s') FROM session_guard.epoch WHERE user_id = who::text),
           (SELECT string_agg(reason || coalesce(' x' || nullif(count, 1), ''), ', ' ORDER BY reason)
            FROM (SELECT reason, count(*) FROM session_guard.history(who) GROUP BY reason) AS r)
$$;

-- Rows of a watched table, in one statement; by another in the same transaction; for many users.
INSERT INTO permission SELECT 1, n::text FROM generate_series(1, 16000) AS n;
SELECT * FROM stamped(1);
SELECT session_verdict(1, clock_timestamp() + interval '2 s');
BEGIN;
INSERT INTO permission SELECT 2, n::text FROM generate_series(1, 5000) AS n;
UPDATE permission SET name = name || 'x' WHERE user_id = 2;
DELETE FROM permission WHERE user_id = 2;
COMMIT;
SELECT * FROM stamped(2);
BEGIN;
INSERT INTO permission SELECT 1 + n % 200, n::text FROM generate_series(1, 20000) AS n;
COMMIT;
SELECT count(*), count(DISTINCT user_id) FROM session_guard.event WHERE transaction_id = (SELECT max(transaction_id) FROM session_guard.event);

-- An account that is toggled 3,000 times in one transaction: one stamp for each reason, and one more when the clock has
-- passed the first; none of the sessions lives.
SELECT session_start(3) AS login \gset
DO $$
BEGIN
    FOR n IN 1 .. 3000 LOOP
        UPDATE users SET active = NOT active WHERE id = 3;
    END LOOP;
END $$;
SELECT is_near FROM stamped(3);
SELECT reason, count(*) < 10 AS are_few FROM session_guard.history(3) GROUP BY reason ORDER BY reason;
SELECT session_verdict(3, :'login'), session_verdict(3, session_start(3));
-- Each in a transaction of its own: by a millisecond over one that is ahead.
CREATE PROCEDURE toggle(who int, times int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        UPDATE users SET active = NOT active WHERE id = who;
        COMMIT;
    END LOOP;
END $$;
CALL toggle(4, 300);
SELECT is_near FROM stamped(4);
SELECT count(*) FROM session_guard.history(4);
-- Each in a savepoint of its own, all but one undone.
DO $$
BEGIN
    FOR n IN 1 .. 500 LOOP
        BEGIN
            UPDATE users SET active = NOT active WHERE id = 5;
            IF n <> 250 THEN
                RAISE 'undo' USING ERRCODE = 'UNDO1';
            END IF;
        EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
        END;
    END LOOP;
END $$;
SELECT * FROM stamped(5);
SELECT active FROM users WHERE id = 5;

-- A stamp that is undone with its savepoint does not count as made.
SELECT session_start(6) AS login \gset
BEGIN;
SAVEPOINT a;
UPDATE users SET password = 'a' WHERE id = 6;
ROLLBACK TO a;
UPDATE users SET password = 'b' WHERE id = 6;
COMMIT;
SELECT session_verdict(6, :'login');
SELECT * FROM stamped(6);
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
UPDATE users SET password = 'c' WHERE id = 7;
RELEASE b;
UPDATE users SET password = 'd' WHERE id = 7;
ROLLBACK TO a;
SAVEPOINT b;
UPDATE users SET password = 'e' WHERE id = 7;
RELEASE b;
COMMIT;
SELECT * FROM stamped(7);

-- A login that comes between two stamps of one reason in one transaction is killed by the second.
BEGIN;
UPDATE users SET password = 'a' WHERE id = 8;
SELECT session_start(8) AS login \gset
UPDATE users SET password = 'b' WHERE id = 8;
COMMIT;
SELECT session_verdict(8, :'login'), session_verdict(8, session_start(8));
BEGIN;
UPDATE users SET active = false WHERE id = 9;
UPDATE users SET active = true WHERE id = 9;
SELECT session_start(9) AS login \gset
UPDATE users SET active = false WHERE id = 9;
UPDATE users SET active = true WHERE id = 9;
COMMIT;
SELECT session_verdict(9, :'login'), session_verdict(9, session_start(9));
-- So is one by the clock, which has passed the first.
BEGIN;
SELECT session_guard.revoke_sessions(10, 'x') IS NOT NULL AS is_done;
SELECT pg_sleep(1.1);
SELECT clock_timestamp() AS login \gset
SELECT session_guard.revoke_sessions(10, 'x') IS NOT NULL AS is_done;
COMMIT;
SELECT session_verdict(10, :'login');

-- Nor do calls: of one user for a reason each, of a token, of a scope, and of everybody.
CREATE FUNCTION ahead() RETURNS TABLE (is_near boolean, events bigint) LANGUAGE sql AS $$
    SELECT greatest((SELECT max(epoch) FROM session_guard.epoch), (SELECT max(epoch) FROM session_guard.guard_epoch), (SELECT max(epoch) FROM session_guard.token_epoch))
               < clock_timestamp() + interval '2 s',
           (SELECT count(*) FROM session_guard.event);
$$;
DELETE FROM session_guard.event;
SELECT count(session_guard.revoke_sessions(13, 'ticket ' || n)) FROM generate_series(1, 2000) AS n;
SELECT * FROM ahead();
DELETE FROM session_guard.event;
SELECT count(session_guard.revoke_tokens('dashboard', 'd1')) FROM generate_series(1, 8000);
SELECT is_near, events BETWEEN 1 AND 5 AS has_few_events FROM ahead();
SELECT count(session_guard.revoke_tokens('dashboard')) FROM generate_series(1, 8000);
SELECT is_near, events BETWEEN 2 AND 10 AS has_few_events FROM ahead();
SELECT count(session_guard.revoke_all_sessions()) FROM generate_series(1, 8000);
SELECT is_near, events BETWEEN 3 AND 15 AS has_few_events FROM ahead();
-- What is undone with its savepoint is done again.
BEGIN;
SAVEPOINT here;
SELECT count(session_guard.revoke_tokens('undone', 't')), count(session_guard.revoke_tokens('undone'));
ROLLBACK TO here;
SELECT count(session_guard.revoke_tokens('undone', 't')), count(session_guard.revoke_tokens('undone'));
COMMIT;
SELECT count(*) FROM session_guard.token_epoch WHERE scope = 'undone';
-- So is what was deleted by hand.
BEGIN;
SELECT count(session_guard.revoke_tokens('by hand', 't')), count(session_guard.revoke_tokens('by hand'));
DELETE FROM session_guard.token_epoch WHERE scope = 'by hand';
SELECT count(session_guard.revoke_tokens('by hand', 't')), count(session_guard.revoke_tokens('by hand'));
COMMIT;
SELECT count(*) FROM session_guard.token_epoch WHERE scope = 'by hand';

-- The time grows linearly: four times the rows take less than eight times as long, and a while.
CREATE FUNCTION time_of(statement text) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    RETURN clock_timestamp() - started;
END $$;
CREATE TABLE took (rows int, t interval);
INSERT INTO took SELECT 10000, time_of('INSERT INTO permission SELECT 11, n::text FROM generate_series(1, 10000) AS n');
INSERT INTO took SELECT 40000, time_of('INSERT INTO permission SELECT 12, n::text FROM generate_series(1, 40000) AS n');
SELECT (SELECT t FROM took WHERE rows = 40000) < 8 * (SELECT t FROM took WHERE rows = 10000) + interval '200 ms' AS is_linear;
SELECT * FROM stamped(12);

-- So does the work for an account that is toggled again and again in one transaction, beyond what the UPDATEs themselves take:
-- four times the changes read less than six times the pages.
CREATE TABLE plain (LIKE users INCLUDING ALL);
INSERT INTO plain SELECT * FROM users;
CREATE FUNCTION toggle_in_one(what regclass, who int, times int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        EXECUTE format('UPDATE %s SET active = NOT active WHERE id = %s', what, who);
    END LOOP;
END $$;
CREATE FUNCTION pages_of(what regclass, who int, times int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT toggle_in_one(%L, %s, %s)', what, who, times) INTO plan;
    RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END $$;
SELECT n, pages_of('users', n, 10) > pages_of('plain', n, 10) AS has_work FROM generate_series(14, 15) AS n;
CREATE TABLE pages AS SELECT who, pages_of('users', who, times) - pages_of('plain', who, times) AS added FROM (VALUES (14, 1000), (15, 4000)) AS v (who, times);
SELECT (SELECT added FROM pages WHERE who = 15) < 6 * (SELECT added FROM pages WHERE who = 14) AS is_linear;
SELECT is_near FROM stamped(15);
SELECT reason, count(*) < 200 AS are_few FROM session_guard.history(15) GROUP BY reason ORDER BY reason;

-- Sessions that begin at an epoch that is ahead are no older than they would be by the clock.
SELECT session_verdict(12, session_start(12)), session_start(12) < clock_timestamp() + interval '2 s' AS is_near;
SELECT check_name, ok FROM session_guard.health() WHERE check_name = 'epochs_ahead';

DROP EXTENSION pg_session_guard;
DROP TABLE users, plain, permission, took, pages;
DROP FUNCTION stamped, time_of, ahead, toggle_in_one, pages_of;
DROP PROCEDURE toggle;
