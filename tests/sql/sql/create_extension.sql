-- CREATE EXTENSION attaches ab_user where exactly one such table exists, and reports what it did.
SET client_min_messages = error; -- an INFO is sent all the same

-- None.
CREATE EXTENSION pg_session_guard;
SELECT count(*) FROM session_guard.guard;
DROP EXTENSION pg_session_guard;

-- None of that name, and one that looks like it: which column says whether an account is active is not guessed.
CREATE TABLE auth_user (id bigserial PRIMARY KEY, username text, is_active boolean);
CREATE EXTENSION pg_session_guard;
DROP EXTENSION pg_session_guard;
DROP TABLE auth_user;

-- One, in a schema that the search path does not name.
CREATE SCHEMA superset;
CREATE TABLE superset.ab_user (id serial PRIMARY KEY, active boolean);
INSERT INTO superset.ab_user (active) VALUES (true), (false), (NULL);
CREATE EXTENSION pg_session_guard;
SELECT name, table_name, id_column, active_column, revoke_on, is_default FROM session_guard.guard;
SELECT user_id, reason FROM session_guard.epoch ORDER BY user_id;
DROP EXTENSION pg_session_guard;

-- A temporary one does not count.
CREATE TEMP TABLE ab_user (id int PRIMARY KEY, active boolean);
CREATE EXTENSION pg_session_guard;
DROP EXTENSION pg_session_guard;
DROP TABLE ab_user;

-- Several.
CREATE TABLE public.ab_user (id serial PRIMARY KEY, active boolean);
CREATE EXTENSION pg_session_guard;
SELECT count(*) FROM session_guard.guard;
DROP EXTENSION pg_session_guard;
DROP TABLE superset.ab_user;

-- One that cannot be guarded does not stop the installation.
ALTER TABLE ab_user ALTER active TYPE int USING active::int;
CREATE EXTENSION pg_session_guard;
SELECT count(*) FROM session_guard.guard;
DROP EXTENSION pg_session_guard;
DROP TABLE ab_user;
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
CREATE EXTENSION pg_session_guard;
DROP EXTENSION pg_session_guard;
DROP TABLE ab_user;

-- The functions that apps call live where CREATE EXTENSION says.
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
CREATE EXTENSION pg_session_guard SCHEMA superset;
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'superset'::regnamespace
ORDER BY p.oid::regprocedure::text;
SELECT superset.session_verdict(1, now());

-- Every object of the extension says what it is for.
SELECT pg_describe_object(classid, objid, objsubid)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_session_guard')
  AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
  AND obj_description(objid, classid::regclass::name) IS NULL;

-- The triggers go with it.
DROP EXTENSION pg_session_guard;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ab_user'::regclass;
DROP SCHEMA superset;
DROP TABLE ab_user;
