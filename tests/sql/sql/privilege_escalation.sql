-- Code that the owner of a users table or of a database hides in it never runs with the rights of the
-- extension's owner.
CREATE ROLE regress_mallory;
GRANT CREATE ON SCHEMA public TO regress_mallory;
CREATE SCHEMA m AUTHORIZATION regress_mallory;
CREATE EXTENSION pg_session_guard;
GRANT USAGE ON SCHEMA session_guard TO regress_mallory;
GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.reconcile, session_guard.health, session_guard.detach TO regress_mallory;
GRANT INSERT ON session_guard.guard TO regress_mallory;
SET ROLE regress_mallory;
CREATE TABLE m.ran_as (who name);
CREATE FUNCTION m.really() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'regress_mallory' THEN RAISE WARNING 'running as %', current_user; END IF;
    RETURN 1;
END $$;
CREATE FUNCTION m.evil(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN m.really(); END';

-- In a partial index, an index expression, a statistics object, a constraint.
CREATE TABLE m.users (id int, active boolean, CHECK (m.evil(1) = 1));
CREATE UNIQUE INDEX before_the_key ON m.users (id) WHERE m.evil(2) = 1;
CREATE INDEX ON m.users ((m.evil(3)));
CREATE STATISTICS m.some ON (m.evil(4)), active FROM m.users;
ALTER TABLE m.users ADD PRIMARY KEY (id);
INSERT INTO m.users VALUES (1, true), (2, false);
RESET ROLE;
SET constraint_exclusion = on;
SELECT session_guard.attach('m.users');
SET ROLE regress_mallory;
UPDATE m.users SET active = NOT active;
RESET ROLE;
SELECT session_verdict(1, now()), session_start(2) IS NOT NULL;
SELECT session_guard.reconcile();
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name <> 'writers';
SET ROLE regress_mallory;
TRUNCATE m.users;
SELECT bool_and(ok) FROM session_guard.health() WHERE check_name <> 'writers';
RESET ROLE;
RESET constraint_exclusion;

-- A row written by hand guards neither a view nor a table of somebody else's.
SET ROLE regress_mallory;
CREATE VIEW m.v AS SELECT 1 AS id, m.really() = 1 AS active;
CREATE TABLE m.partitioned (id int, active boolean) PARTITION BY LIST (active);
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column) VALUES
    ('pg_authid', 'pg_catalog', 'pg_authid', 'postgres', 'rolname', 'rolsuper'), ('m.v', 'm', 'v', 'regress_mallory', 'id', 'active'),
    ('m.partitioned', 'm', 'partitioned', 'regress_mallory', 'id', 'active');
RESET ROLE;
SELECT session_verdict('m.v', 1, now());
SELECT session_verdict('m.partitioned', 1, now());
SELECT guard, check_name, ok, detail FROM session_guard.health() WHERE guard IN ('m.v', 'm.partitioned', 'pg_authid');
SELECT session_verdict('pg_authid', 'postgres', now());
DELETE FROM session_guard.guard WHERE name <> 'm.users';

-- An operator that fits a hint's look-up better than PostgreSQL's own.
SET ROLE regress_mallory;
CREATE FUNCTION public.op(name, name) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN m.really() = 1; END';
CREATE FUNCTION public.op(name, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN m.really() = 1; END';
CREATE OPERATOR public.!~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.op);
CREATE OPERATOR public.~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.op);
CREATE OPERATOR public.<> (LEFTARG = name, RIGHTARG = text, FUNCTION = public.op);
RESET ROLE;
SELECT session_guard.detach('m.users', forget => true);
SELECT session_valid(1, now());

-- Nobody forgets what is not theirs.
CREATE TABLE gone (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('gone');
SELECT 'gone'::regclass::oid AS gone \gset
DROP TABLE gone;
SET ROLE regress_mallory;
\set VERBOSITY sqlstate
SELECT session_guard.detach(:gone::oid, forget => true);
\set VERBOSITY default
RESET ROLE;

DROP EXTENSION pg_session_guard;
\set VERBOSITY terse
DROP SCHEMA m CASCADE;
DROP FUNCTION public.op(name, name) CASCADE;
DROP FUNCTION public.op(name, text) CASCADE;
REVOKE CREATE ON SCHEMA public FROM regress_mallory;
DROP ROLE regress_mallory;
