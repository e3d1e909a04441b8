-- The UPDATE of login columns that Flask-AppBuilder makes at each login calls no trigger function.
SET track_functions = 'all';
CREATE TABLE ab_user (id serial PRIMARY KEY, active boolean, last_login timestamp, login_count int, fail_login_count int);
INSERT INTO ab_user (active) SELECT true FROM generate_series(1, 100);
CREATE EXTENSION pg_session_guard;
CREATE FUNCTION stamp_calls() RETURNS bigint LANGUAGE sql AS
    $$ SELECT coalesce(sum(pg_stat_get_xact_function_calls('session_guard.stamp()'::regprocedure)), 0)::bigint $$;
BEGIN;
UPDATE ab_user SET last_login = now(), login_count = 1, fail_login_count = 0;
UPDATE ab_user SET active = active, login_count = login_count + 1;
SELECT stamp_calls();
-- The counter counts.
UPDATE ab_user SET active = false WHERE id <= 3;
SELECT stamp_calls();
COMMIT;
DROP FUNCTION stamp_calls();
DROP EXTENSION pg_session_guard;
DROP TABLE ab_user;
