-- The cost of one session_valid call in the executor, against the same check in PL/pgSQL as a
-- skilled hand would write it, and against a function that does nothing. Interleaved, medians.
SET client_min_messages = warning;
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text);
INSERT INTO ab_user SELECT n, true, md5(n::text) FROM generate_series(1, 100000) AS n;
CREATE EXTENSION pg_session_guard;
UPDATE ab_user SET active = false WHERE id % 10 = 0;
UPDATE ab_user SET active = true WHERE id % 20 = 0;
VACUUM ANALYZE ab_user;
VACUUM ANALYZE session_guard.epoch;

CREATE FUNCTION by_plpgsql(who bigint, login_at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    enabled boolean;
    own timestamptz;
    everybodys timestamptz;
BEGIN
    SELECT active INTO enabled FROM ab_user WHERE id = who;
    IF enabled IS NOT TRUE THEN
        RETURN false;
    END IF;
    SELECT epoch INTO own FROM session_guard.epoch WHERE guard = 'ab_user'::regclass AND user_id = who::text;
    SELECT epoch INTO everybodys FROM session_guard.guard_epoch WHERE guard = 'ab_user'::regclass;
    own := greatest(own, everybodys);
    IF own IS NOT NULL AND (login_at IS NULL OR login_at < own) THEN
        RETURN false;
    END IF;
    RETURN login_at IS NULL OR login_at <= clock_timestamp() + interval '10 s' OR login_at = own;
END $$;
-- The least that a call costs: a C function of PostgreSQL's own that compares two integers.
CREATE FUNCTION by_nothing(who bigint, login_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT who >= 0';

CREATE TABLE run (what text, micros float8);
DO $$
DECLARE
    calls CONSTANT int := 100000;
    began timestamptz;
    answers bigint;
    what text;
BEGIN
    FOR round IN 1..11 LOOP
        FOREACH what IN ARRAY ARRAY['session_valid', 'by_plpgsql', 'by_nothing'] LOOP
            began := clock_timestamp();
            EXECUTE format('SELECT count(*) FROM generate_series(1, %s) AS n WHERE %I(1 + n * 7919 %% 100000, %L::timestamptz)',
                           calls, what, clock_timestamp()) INTO answers;
            INSERT INTO run VALUES (what, extract(epoch FROM clock_timestamp() - began) * 1e6 / calls);
        END LOOP;
    END LOOP;
END $$;

WITH median AS (
    SELECT what, percentile_cont(0.5) WITHIN GROUP (ORDER BY micros) AS micros,
           percentile_cont(0.1) WITHIN GROUP (ORDER BY micros) AS low,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY micros) AS high
    FROM run GROUP BY what
)
SELECT what, round(micros::numeric, 3) AS median_us, round(low::numeric, 3) AS p10, round(high::numeric, 3) AS p90,
       round((micros / (SELECT micros FROM median WHERE what = 'by_plpgsql'))::numeric, 3) AS against_plpgsql
FROM median ORDER BY micros;
