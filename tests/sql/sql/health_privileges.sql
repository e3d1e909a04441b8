-- What roles lack, and what they have too much, each with a remedy that repairs it when it is run as it stands.
SELECT current_database() AS home \gset
CREATE ROLE regress_dba CREATEDB;
CREATE ROLE "regress Alice";
CREATE ROLE regress_app LOGIN;
CREATE ROLE regress_group;
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
CREATE SCHEMA lib AUTHORIZATION regress_dba;
CREATE SCHEMA al AUTHORIZATION "regress Alice";
GRANT CREATE ON SCHEMA lib TO regress_app;
SET client_min_messages = warning;
SET ROLE "regress Alice";
CREATE TABLE al.users (id int PRIMARY KEY, active boolean);
INSERT INTO al.users VALUES (1, true);
SET ROLE regress_dba;
CREATE EXTENSION pg_session_guard SCHEMA lib;
RESET ROLE;
CREATE FUNCTION wrong() RETURNS TABLE (check_name text, detail text, remedy text) LANGUAGE sql AS
    'SELECT check_name, regexp_replace(detail, ''\d\d+ functions'', ''all functions''), regexp_replace(remedy, ''(FUNCTION [^,;(]*\([^)]*\)), [^;]*?( TO | FROM |;)'', ''\1, ...\2'') FROM session_guard.health() WHERE NOT ok AND check_name NOT IN (''default_guard'', ''unwatched_changes'')';
CREATE VIEW remedy AS SELECT remedy FROM session_guard.health() WHERE NOT ok AND remedy IS NOT NULL AND check_name <> 'unwatched_changes';
SELECT * FROM wrong();

-- The table's owner.
SELECT session_guard.attach('al.users');
SELECT * FROM wrong();
\set ECHO none
\o /dev/null
SELECT remedy FROM remedy \gexec
\o
\set ECHO all
SELECT * FROM wrong();
SET ROLE "regress Alice";
SELECT lib.session_valid(1, lib.session_start(1));
RESET ROLE;
REVOKE EXECUTE ON FUNCTION lib.session_start(regclass, int), lib.token_valid(text, text, timestamp) FROM "regress Alice";
SELECT * FROM wrong();
\set ECHO none
\o /dev/null
SELECT remedy FROM remedy \gexec
\o
\set ECHO all
SELECT * FROM wrong();

-- A guard that came with a dump, and no role of an app.
UPDATE session_guard.guard SET attached_at = '2000-01-01';
SELECT * FROM wrong();
SELECT session_guard.grant_access('regress_app');
SELECT * FROM wrong();
SELECT session_guard.revoke_access('regress_app');
-- What a database's owner and the extension's have does not count, nor does that of a table's owner who cannot connect.
SELECT check_name FROM wrong();
ALTER ROLE "regress Alice" LOGIN;
SELECT check_name FROM wrong();
ALTER ROLE "regress Alice" SUPERUSER;
SELECT check_name FROM wrong();
ALTER ROLE "regress Alice" NOSUPERUSER;
ALTER ROLE "regress Alice" NOLOGIN;
GRANT EXECUTE ON FUNCTION lib.session_valid(int, timestamptz) TO PUBLIC;
SELECT check_name FROM wrong();
REVOKE EXECUTE ON FUNCTION lib.session_valid(int, timestamptz) FROM PUBLIC;
UPDATE session_guard.guard SET attached_at = now();

-- The extension's owner.
CREATE ROLE regress_other;
ALTER DATABASE regress_guard OWNER TO regress_other;
SELECT * FROM wrong();
\set ECHO none
\o /dev/null
SELECT remedy FROM remedy \gexec
\o
\set ECHO all
SELECT * FROM wrong();
REVOKE SELECT ON session_guard.event FROM regress_dba CASCADE;
REVOKE SELECT ON session_guard.event_id_seq FROM regress_dba;
REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION lib.session_valid(int, timestamptz), session_guard.health() FROM regress_dba CASCADE;
SELECT * FROM wrong();
\set ECHO none
\o /dev/null
SELECT remedy FROM remedy \gexec
\o
\set ECHO all
SELECT * FROM wrong();
ALTER DATABASE regress_guard OWNER TO regress_dba;
DROP ROLE regress_other;

-- The objects' owner.
ALTER TABLE session_guard.epoch OWNER TO regress_app;
ALTER SEQUENCE session_guard.event_id_seq OWNER TO regress_dba;
ALTER SCHEMA session_guard OWNER TO regress_dba;
ALTER FUNCTION lib.session_valid(bigint, timestamptz) OWNER TO "regress Alice";
ALTER FUNCTION session_guard.attach OWNER TO regress_app;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE check_name = 'owners';
\set ECHO none
\o /dev/null
SELECT remedy FROM remedy \gexec
-- What a role was granted went when it became the owner.
SELECT remedy FROM remedy \gexec
\o
\set ECHO all
SELECT * FROM wrong();

-- Who writes.
GRANT USAGE ON SCHEMA session_guard TO regress_app;
GRANT ALL ON session_guard.epoch TO regress_app WITH GRANT OPTION;
GRANT UPDATE (epoch) ON session_guard.guard_epoch TO PUBLIC;
SET ROLE regress_app;
GRANT UPDATE ON session_guard.epoch TO regress_group;
RESET ROLE;
GRANT INSERT ON session_guard.guard TO regress_dba WITH GRANT OPTION;
SET ROLE regress_dba;
GRANT INSERT ON session_guard.guard TO regress_group;
RESET ROLE;
SELECT * FROM wrong();
SELECT remedy FROM remedy \gexec
SELECT * FROM wrong();
SELECT has_table_privilege('regress_dba', 'session_guard.guard', 'INSERT') AS dba_restores;
-- The triggers' functions.
ALTER FUNCTION session_guard.stamp() SET session_replication_role = replica;
ALTER FUNCTION session_guard.apply_replicated() SET search_path = public;
SELECT * FROM wrong();
SELECT remedy FROM remedy \gexec
ALTER FUNCTION session_guard.stamp() SECURITY INVOKER;
SELECT * FROM wrong();
SELECT remedy FROM remedy \gexec
SELECT * FROM wrong();

-- Functions that are called in place of the extension's.
SET ROLE regress_app;
CREATE FUNCTION lib.session_valid(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION lib.session_start(numeric DEFAULT 1) RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
CREATE FUNCTION lib.token_valid(VARIADIC text[]) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE AGGREGATE lib.session_verdict(text) (SFUNC = textcat, STYPE = text);
RESET ROLE;
SELECT * FROM wrong();
SELECT remedy FROM remedy \gexec
SELECT * FROM wrong();

\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_dba, "regress Alice", regress_app, regress_group;
