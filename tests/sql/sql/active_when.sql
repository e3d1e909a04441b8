-- active_when says how the status column is read: active while it is true, false, or NULL.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE TABLE by_true (id int PRIMARY KEY, active boolean);
CREATE TABLE by_false (id int PRIMARY KEY, banned boolean);
CREATE TABLE by_null (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO by_true VALUES (1, true), (2, false), (3, NULL);
INSERT INTO by_false VALUES (1, true), (2, false), (3, NULL);
INSERT INTO by_null VALUES (1, now()), (2, 'infinity'), (3, NULL);
SELECT session_guard.attach('by_true', active_when => 'true'),
       session_guard.attach('by_false', active_column => 'banned', active_when => 'false'),
       session_guard.attach('by_null', active_column => 'deleted_at', active_when => 'null');
SELECT guard, user_id, reason FROM session_guard.epoch ORDER BY guard, user_id;
SELECT id, session_verdict('by_true', id, now()) AS by_true, session_verdict('by_false', id, now()) AS by_false, session_verdict('by_null', id, now()) AS by_null,
       session_start('by_true', id) IS NULL AS true_out, session_start('by_false', id) IS NULL AS false_out, session_start('by_null', id) IS NULL AS null_out
FROM generate_series(1, 3) AS id;

-- Each change from one value to another: what it stamps, and whether it ends a session. NULL and false of a flag mean one
-- thing, and so do two times of deleted_at.
CREATE TABLE change (n serial, users regclass, old_value text, new_value text, reason text, verdict text);
CREATE PROCEDURE change_each(tables text[], status text, old_values text[]) LANGUAGE plpgsql AS $$
DECLARE users text; old_value text; new_value text; login timestamptz; reason text;
BEGIN
    FOREACH users IN ARRAY tables LOOP
        FOREACH old_value IN ARRAY old_values LOOP
            FOREACH new_value IN ARRAY old_values LOOP
                EXECUTE format('UPDATE %s SET %I = %s WHERE id = 1', users, status, old_value);
                DELETE FROM session_guard.epoch;
                login := clock_timestamp();
                COMMIT;
                EXECUTE format('UPDATE %s SET %I = %s WHERE id = 1', users, status, new_value);
                COMMIT;
                INSERT INTO change (users, old_value, new_value, reason, verdict)
                VALUES (users::regclass, old_value, new_value, (SELECT e.reason FROM session_guard.epoch AS e), session_verdict(users, 1, login));
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
CALL change_each('{by_true}', 'active', $${true, false, "NULL"}$$);
CALL change_each('{by_false}', 'banned', $${true, false, "NULL"}$$);
CALL change_each('{by_null}', 'deleted_at', $${now(), 'infinity', "NULL"}$$);
SELECT users, old_value, new_value, reason, verdict FROM change ORDER BY n;

-- A domain over boolean is read as a boolean, also one over another domain.
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN strict_flag AS flag NOT NULL DEFAULT false;
CREATE TABLE by_domain (id int PRIMARY KEY, active flag, banned strict_flag);
INSERT INTO by_domain VALUES (1, true, false), (2, false, true), (3, NULL, false);
SELECT session_guard.attach('by_domain');
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.by_domain' ORDER BY user_id;
SELECT id, session_verdict('by_domain', id, now()), session_start('by_domain', id) IS NULL AS is_out FROM by_domain ORDER BY id;
TRUNCATE change;
CALL change_each('{by_domain}', 'active', $${true, false, "NULL"}$$);
SELECT old_value, new_value, reason, verdict FROM change ORDER BY n;
SELECT session_guard.attach('by_domain', active_column => 'banned', active_when => 'false');
SELECT id, session_verdict('by_domain', id, now() + interval '5 s') FROM by_domain ORDER BY id;
TRUNCATE change;
CALL change_each('{by_domain}', 'banned', $${true, false}$$);
SELECT old_value, new_value, reason, verdict FROM change ORDER BY n;

-- A column of any type can be read by whether it is NULL.
CREATE TYPE pair AS (a int, b int);
CREATE TABLE odd (id int PRIMARY KEY, j json, p point, c pair, a int[], t text);
INSERT INTO odd (id) VALUES (1);
DO $$
DECLARE status text;
BEGIN
    FOREACH status IN ARRAY ARRAY['j', 'p', 'a', 't'] LOOP
        PERFORM session_guard.attach('odd', active_column => status, active_when => 'null');
        RAISE INFO '%: %', status, session_verdict('odd', 1, now());
    END LOOP;
END $$;
SELECT check_name, ok FROM session_guard.health() WHERE guard = 'public.odd' AND check_name IN ('armed', 'table');

-- But not of a row type: a row of NULLs is NULL to SQL, and a value that is there.
\set VERBOSITY sqlstate
SELECT session_guard.attach('odd', active_column => 'c');
\set VERBOSITY default

-- How a column is read can change. Who is disabled by that is stamped, and so is who was disabled until now.
INSERT INTO by_true VALUES (4, true), (5, false);
DELETE FROM session_guard.epoch;
SELECT session_guard.attach('by_true', active_when => 'false');
SELECT id, session_verdict('by_true', id, now() - interval '1 min') FROM by_true ORDER BY id;
SELECT user_id FROM session_guard.epoch ORDER BY user_id;
SELECT session_guard.attach('by_true');
SELECT active_when FROM session_guard.guard WHERE name = 'public.by_true';

-- Nothing else is taken.
SELECT session_guard.attach('by_true', active_when => 'TRUE');
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.attach('by_true', active_when => '');
\echo :LAST_ERROR_SQLSTATE
SELECT session_guard.attach('by_null', active_when => 'true');
\echo :LAST_ERROR_SQLSTATE
-- A row that was written by hand with another is an error, and the app's own writes go on.
UPDATE session_guard.guard SET active_when = 'maybe' WHERE name = 'public.by_true';
SELECT session_verdict('by_true', 1, now());
\echo :LAST_ERROR_SQLSTATE
UPDATE by_true SET active = NOT active WHERE id = 4;

DROP EXTENSION pg_session_guard;
DROP TABLE by_true, by_false, by_null, by_domain, odd;
DROP DOMAIN strict_flag, flag;
DROP TYPE pair;
DROP TABLE change;
DROP PROCEDURE change_each;
