-- grant_access lets a role call what apps call, in every overload, and revoke_access takes that back.
CREATE SCHEMA "the app's $1$ \ ""own""";
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard SCHEMA "the app's $1$ \ ""own""";
RESET client_min_messages;
SELECT session_guard.attach('users');
CREATE ROLE "regress_the app's ""role""";
CREATE ROLE regress_stranger;
\set role '"regress_the app\'s ""role"""'

-- What it may call, and where.
CREATE FUNCTION may(role regrole) RETURNS TABLE (schema_name name, functions bigint, may_call bigint, may_use boolean) LANGUAGE sql AS $$
    SELECT n.nspname, count(*), count(*) FILTER (WHERE has_function_privilege(role, p.oid, 'EXECUTE')), has_schema_privilege(role, n.oid, 'USAGE')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e'
                    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_session_guard'))
    GROUP BY n.oid ORDER BY 1
$$;
SELECT schema_name, may_call, may_use FROM may(:'role');
SELECT session_guard.grant_access(:'role');
SELECT schema_name, may_call = functions AS may_call_all, may_call, may_use FROM may(:'role');
SET ROLE :role;
SELECT "the app's $1$ \ ""own""".session_valid(1, now()), "the app's $1$ \ ""own""".session_verdict('users', '1', now()::timestamp), "the app's $1$ \ ""own""".session_start(1::bigint) IS NOT NULL AS may_log_in,
       "the app's $1$ \ ""own""".token_valid('a', 'b', now());
SELECT session_guard.health();
RESET ROLE;
-- Again, and to one who has all rights.
SELECT session_guard.grant_access(:'role'), session_guard.grant_access(current_user::regrole);
SELECT schema_name, may_call FROM may(:'role');

-- Taken back: EXECUTE; USAGE on the schema may be for other things.
SELECT session_guard.revoke_access(:'role');
SELECT schema_name, may_call, may_use FROM may(:'role');
SELECT session_guard.revoke_access(:'role'), session_guard.revoke_access('regress_stranger');
SET ROLE :role;
SELECT "the app's $1$ \ ""own""".session_valid(1, now());
RESET ROLE;

-- The extension's owner alone may, and has to name a role.
CREATE FUNCTION mistake(statement text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END $$;
SELECT statement, m.* FROM unnest(ARRAY[
    'grant_access(NULL)', 'revoke_access(NULL)', $$grant_access('regress_nobody_at_all')$$, 'grant_access(4000000000::oid)', 'revoke_access(4000000000::oid)', 'grant_access(0::oid)'])
    AS statement, mistake('SELECT session_guard.' || statement) AS m;
GRANT USAGE ON SCHEMA session_guard TO regress_stranger;
GRANT EXECUTE ON FUNCTION session_guard.grant_access, session_guard.revoke_access TO regress_stranger;
SET ROLE regress_stranger;
SELECT statement, m.* FROM unnest(ARRAY[$$grant_access('regress_stranger')$$, $$revoke_access('regress_stranger')$$]) AS statement, mistake('SELECT session_guard.' || statement) AS m;
RESET ROLE;
SELECT schema_name, may_call FROM may('regress_stranger');

-- What is left by another way is told, with its reason: a membership, PUBLIC, another grantor, all rights.
CREATE ROLE regress_group;
GRANT regress_group TO :role;
SELECT session_guard.grant_access('regress_group'), session_guard.grant_access(:'role');
SELECT session_guard.revoke_access(:'role');
SELECT session_guard.revoke_access('regress_group');
SELECT session_guard.revoke_access(current_user::regrole);
GRANT EXECUTE ON FUNCTION "the app's $1$ \ ""own""".session_start(uuid) TO PUBLIC;
SELECT session_guard.revoke_access('regress_group');
REVOKE EXECUTE ON FUNCTION "the app's $1$ \ ""own""".session_start(pg_catalog.uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "the app's $1$ \ ""own""".token_valid(text, text, timestamp) TO regress_stranger WITH GRANT OPTION;
GRANT USAGE ON SCHEMA "the app's $1$ \ ""own""" TO regress_stranger;
SET ROLE regress_stranger;
GRANT EXECUTE ON FUNCTION "the app's $1$ \ ""own""".token_valid(text, text, timestamp) TO regress_group;
RESET ROLE;
SELECT session_guard.revoke_access('regress_group');
SET ROLE regress_stranger; REVOKE EXECUTE ON FUNCTION "the app's $1$ \ ""own""".token_valid(pg_catalog.text, pg_catalog.text, pg_catalog."timestamp") FROM regress_group; RESET ROLE;
SELECT session_guard.revoke_access('regress_group'), session_guard.revoke_access('regress_stranger');
DROP OWNED BY regress_group;
DROP ROLE regress_group;

-- PUBLIC's rights are nobody's business here.
SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = '"the app''s $1$ \ ""own"""'::regnamespace AND has_function_privilege('regress_stranger', p.oid, 'EXECUTE');
DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP FUNCTION may, mistake;
DROP SCHEMA "the app's $1$ \ ""own""";
DROP ROLE :role, regress_stranger;
