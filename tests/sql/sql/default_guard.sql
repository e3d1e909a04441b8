-- Calls that name no table mean the default guard. No other one takes its place by itself: ids of another table are
-- other accounts.
CREATE ROLE regress_other;
GRANT CREATE ON SCHEMA public TO regress_other;
CREATE EXTENSION pg_session_guard;
GRANT USAGE ON SCHEMA session_guard TO regress_other;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO regress_other;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
CREATE TABLE staff (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (2, false);
INSERT INTO staff VALUES (1, true), (2, true);
CREATE FUNCTION asked(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; code text;
BEGIN
    EXECUTE 'SELECT ' || statement INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE;
    RETURN code;
END $$;
CREATE VIEW answers AS
SELECT asked('session_verdict(2, now())'), asked('session_start(2) IS NOT NULL') AS login, asked('session_guard.epoch_of(2) IS NULL') AS epoch,
       asked('session_guard.revoke_sessions(1) IS NULL') AS revoked, (SELECT ok FROM session_guard.health() WHERE check_name = 'default_guard') AS ok;

-- The first is the default, and a second one is not.
SELECT session_guard.attach('users');
SELECT session_guard.attach('staff');
SELECT * FROM answers;

-- Detached, dropped or forgotten: nobody answers in its place.
SELECT session_guard.detach('users');
SELECT * FROM answers;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'default_guard';
SELECT session_verdict('staff', 2, now());
-- Nor a table that is attached meanwhile; whose owner cannot make it the default.
SELECT session_guard.detach('staff');
SET ROLE regress_other;
CREATE TABLE others (id int PRIMARY KEY, active boolean);
INSERT INTO others VALUES (2, true);
SELECT session_guard.attach('others');
SELECT asked($$session_guard.attach('others', is_default => true)$$);
RESET ROLE;
SELECT * FROM answers;
-- It is the default again as soon as it is attached.
SELECT session_guard.attach('users');
SELECT session_guard.attach('staff');
SELECT * FROM answers;
BEGIN;
DROP TABLE users;
SELECT * FROM answers;
ROLLBACK;
SELECT session_guard.detach('users', forget => true);
SELECT * FROM answers;
SET ROLE regress_other;
SELECT asked($$session_guard.attach('others', is_default => true)$$);
RESET ROLE;
SELECT name, is_default FROM session_guard.guard ORDER BY name;

-- Who owns the default one's table may give its place to another.
SELECT session_guard.attach('users', is_default => true), session_guard.detach('users', forget => true), session_guard.attach('staff', is_default => true);
SELECT asked('session_verdict(2, now())');
-- One that comes alone is the default, unless another holds the place.
SELECT session_guard.detach('staff', forget => true), session_guard.detach('others', forget => true), session_guard.attach('users'), session_guard.detach('users'), session_guard.attach('staff');
SELECT name, is_default, detached_at IS NULL AS is_attached FROM session_guard.guard ORDER BY name;

DROP EXTENSION pg_session_guard CASCADE;
DROP FUNCTION asked CASCADE;
DROP TABLE users, staff, others;
REVOKE CREATE ON SCHEMA public FROM regress_other;
DROP ROLE regress_other;
