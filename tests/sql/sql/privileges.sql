-- PUBLIC has no rights; the owner of a users table may call what apps call; the extension's owner may call all.
SELECT current_database() AS home \gset
CREATE ROLE regress_owner;
CREATE ROLE regress_app;
CREATE ROLE regress_dba CREATEDB;
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
SET ROLE regress_dba;

-- A database's owner without superuser installs it; a message says who can attach what is not theirs.
RESET ROLE;
CREATE SCHEMA app AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA app TO regress_dba;
SET ROLE regress_owner;
CREATE TABLE app.ab_user (id int PRIMARY KEY, active boolean, password text);
INSERT INTO app.ab_user VALUES (1, true), (2, true), (3, false);
SET ROLE regress_dba;
CREATE EXTENSION pg_session_guard;
SELECT count(*) FROM session_guard.guard;

-- Nothing is executable or readable by PUBLIC.
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_session_guard') AND d.refclassid = 'pg_extension'::regclass
  AND has_function_privilege('regress_app', p.oid, 'EXECUTE');
SELECT has_schema_privilege('regress_app', 'session_guard', 'USAGE');
SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'session_guard'::regnamespace AND relkind IN ('r', 'S')
  AND has_table_privilege('regress_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER');
SET ROLE regress_app;
SELECT session_valid(1, now());
SELECT session_guard.attach('app.ab_user');
SELECT * FROM session_guard.epoch;

-- attach takes the table's owner, also where others may call it.
RESET ROLE;
SET ROLE regress_dba;
SELECT session_guard.attach('app.ab_user');
GRANT USAGE ON SCHEMA session_guard TO regress_owner;
GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.reconcile, session_guard.detach, session_guard.health TO regress_owner;
RESET ROLE;
SET ROLE regress_owner;
SELECT session_guard.attach('app.ab_user', revoke_on => '{password}');

-- The owner may ask from now on, and only that.
SELECT session_verdict(1, now()), session_verdict(3, now()), session_start(1) IS NOT NULL;
SELECT * FROM session_guard.epoch;
UPDATE session_guard.epoch SET epoch = '-infinity';
SELECT session_guard.stamp();

-- A role that may not even read the users table may ask, once it is granted; so may the triggers
-- stamp for a role that may only update it.
RESET ROLE;
SET ROLE regress_dba;
SELECT session_guard.grant_access('regress_app');
RESET ROLE;
GRANT USAGE ON SCHEMA app TO regress_app;
GRANT UPDATE (active), SELECT (id) ON app.ab_user TO regress_app;
SET ROLE regress_app;
SELECT active FROM app.ab_user;
SELECT session_verdict(1, now()), session_start(1) IS NOT NULL;
UPDATE app.ab_user SET active = false WHERE id = 1;
SELECT session_verdict(1, now());
UPDATE app.ab_user SET active = true WHERE id = 1;
SELECT session_verdict(1, now() - interval '1 min');
RESET ROLE;

-- To put everybody out takes the right to change the accounts.
GRANT EXECUTE ON FUNCTION session_guard.revoke_all_sessions TO regress_app;
GRANT USAGE ON SCHEMA session_guard TO regress_app;
SET ROLE regress_app;
SELECT session_guard.revoke_all_sessions();
RESET ROLE;
GRANT UPDATE ON app.ab_user TO regress_app;
SET ROLE regress_app;
SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_done;
SELECT session_verdict(2, now() - interval '1 min'), session_verdict(2, session_start(2));
RESET ROLE;

-- Row-level security does not change an answer, nor hide an account from the backfill.
ALTER TABLE app.ab_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.ab_user FORCE ROW LEVEL SECURITY;
SET ROLE regress_app;
SELECT session_verdict(2, session_start(2)), session_verdict(3, now());
SET ROLE regress_owner;
SELECT count(*) FROM app.ab_user;
SELECT session_guard.detach('app.ab_user', forget => true);
SELECT session_guard.attach('app.ab_user');
SELECT session_verdict(2, now()), session_verdict(3, now());
RESET ROLE;
ALTER TABLE app.ab_user DISABLE ROW LEVEL SECURITY;

-- Objects in the way of the search path are not mistaken for PostgreSQL's own.
CREATE SCHEMA evil AUTHORIZATION regress_app;
GRANT CREATE ON SCHEMA public TO regress_app;
SET ROLE regress_app;
CREATE FUNCTION evil.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION evil.never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION evil.never(boolean, boolean) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = evil.never);
CREATE TEMP TABLE epoch (guard regclass, user_id text, epoch timestamptz, reason text, stamped_at timestamptz);
SET search_path = evil, pg_temp, pg_catalog, public, app;
UPDATE app.ab_user SET active = false WHERE id OPERATOR(pg_catalog.=) 2;
SELECT public.session_verdict(2, now());
UPDATE app.ab_user SET active = true WHERE id OPERATOR(pg_catalog.=) 2;
SELECT public.session_verdict(2, now() OPERATOR(pg_catalog.-) interval '1 min');
RESET search_path;
RESET ROLE;

-- The policies are the extension's owner's, also where others may call the function.
SET ROLE regress_owner;
SELECT session_guard.configure(future_login_tolerance => '1 day');
RESET ROLE;
GRANT EXECUTE ON FUNCTION session_guard.configure TO regress_owner;
SET ROLE regress_owner;
SELECT session_guard.configure(future_login_tolerance => '1 day');
SET session_guard.when_disarmed = live;
SET session_guard.no_such_setting = 1;
RESET ROLE;
SET ROLE regress_dba;
SELECT session_guard.configure(future_login_tolerance => '1 hour');
SELECT set_at <= clock_timestamp() AS is_set, set_by = session_user AS by_login, future_login_tolerance, stamp_margin, when_disarmed FROM session_guard.policy;
RESET ROLE;

-- The extension's owner drops it.
SET ROLE regress_dba;
DROP EXTENSION pg_session_guard;
\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_owner, regress_app, regress_dba;
