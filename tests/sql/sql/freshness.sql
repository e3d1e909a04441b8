-- A check sees every committed stamp, whatever snapshot the caller's statement has.
CREATE TABLE ab_user (id serial PRIMARY KEY, active boolean);
INSERT INTO ab_user (active) SELECT true FROM generate_series(1, 10);
CREATE EXTENSION pg_session_guard;

-- Later in the same DO block.
DO $$
DECLARE login timestamptz := clock_timestamp();
BEGIN
    RAISE INFO '%', session_verdict(1, login);
    UPDATE ab_user SET active = false WHERE id = 1;
    RAISE INFO '%', session_verdict(1, login);
    UPDATE ab_user SET active = true WHERE id = 1;
    RAISE INFO '%', session_verdict(1, login);
    BEGIN
        UPDATE ab_user SET active = false WHERE id = 2;
        RAISE INFO '%', session_verdict(2, login);
        RAISE EXCEPTION 'back';
    EXCEPTION WHEN raise_exception THEN
        RAISE INFO '%', session_verdict(2, login);
    END;
END $$;

-- Later in the same statement, though the function is STABLE.
CREATE FUNCTION disable(who int) RETURNS int LANGUAGE sql VOLATILE AS 'UPDATE ab_user SET active = false WHERE id = who RETURNING id';
SELECT session_verdict(3, now()) AS before, disable(3), session_verdict(3, now()) AS after;

-- In a REPEATABLE READ transaction, its own changes.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM ab_user WHERE active;
UPDATE ab_user SET active = false WHERE id = 4;
SELECT session_verdict(4, now());
ROLLBACK;
SELECT session_verdict(4, now());

-- In parallel workers.
CREATE TABLE request AS SELECT 1 + n % 10 AS user_id, now() - interval '1 min' AS login_at FROM generate_series(1, 20000) AS n;
ANALYZE request;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS off) SELECT count(*) FROM request WHERE session_valid(user_id, login_at);
SELECT session_verdict(user_id, login_at), count(*) FROM request GROUP BY 1 ORDER BY 1;
BEGIN;
UPDATE ab_user SET active = false WHERE id > 5;
SELECT session_verdict(user_id, login_at), count(*) FROM request GROUP BY 1 ORDER BY 1;
ROLLBACK;
SELECT session_verdict(user_id, login_at), count(*) FROM request GROUP BY 1 ORDER BY 1;

-- In a read-only transaction, and without taking a transaction id.
BEGIN READ ONLY;
SELECT session_verdict(5, now()), session_guard.epoch_of(5);
SELECT pg_current_xact_id_if_assigned();
SELECT session_start(5);
ROLLBACK;

-- Where edits by hand send no invalidation, nothing is cached, and health says so.
SELECT session_verdict(7, now());
ALTER TABLE session_guard.epoch ENABLE TRIGGER ALL;
SELECT check_name, ok, detail, remedy FROM session_guard.health() WHERE check_name = 'own_tables';
SELECT session_verdict(7, now());
SET session_replication_role = replica;
INSERT INTO session_guard.epoch VALUES ('public.ab_user', '7', 'infinity', 'by hand');
RESET session_replication_role;
SELECT session_verdict(7, now());
SELECT remedy FROM session_guard.health() WHERE check_name = 'own_tables' \gset
:remedy
SELECT check_name, ok, detail, remedy FROM session_guard.health() WHERE check_name = 'own_tables';
DELETE FROM session_guard.epoch;
SELECT session_verdict(7, now());

DROP EXTENSION pg_session_guard;
DROP TABLE ab_user, request;
DROP FUNCTION disable;
