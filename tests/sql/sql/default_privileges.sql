-- Default privileges that others set before CREATE EXTENSION give nobody a right in it.
SELECT current_database() AS home \gset
CREATE ROLE regress_app;
CREATE ROLE regress_other;
CREATE ROLE regress_dba CREATEDB;
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
CREATE VIEW granted AS
    SELECT o.kind, o.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, a.privilege_type
    FROM (SELECT 'relation', c.oid::regclass::text, c.relowner, c.relacl, c.oid, 'pg_class'::regclass FROM pg_class AS c
          UNION ALL SELECT 'function', p.oid::regprocedure::text, p.proowner, p.proacl, p.oid, 'pg_proc'::regclass FROM pg_proc AS p
          UNION ALL SELECT 'schema', n.nspname::text, n.nspowner, n.nspacl, n.oid, 'pg_namespace'::regclass FROM pg_namespace AS n
          UNION ALL SELECT 'type', t.oid::regtype::text, t.typowner, t.typacl, t.oid, 'pg_type'::regclass FROM pg_type AS t) AS o(kind, name, owner, acl, oid, class)
    CROSS JOIN aclexplode(o.acl) AS a
    WHERE a.grantee::regrole NOT IN (o.owner, (SELECT extowner FROM pg_extension WHERE extname = 'pg_session_guard'), to_regrole('pg_database_owner'))
      AND EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'
                  AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE extname = 'pg_session_guard'));

GRANT SELECT ON granted TO regress_dba;
-- As a superuser, who has given all that there is to give, to a role and to PUBLIC.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_app, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_app, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO regress_app, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_app, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO regress_other WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO regress_other WITH GRANT OPTION;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT * FROM granted;
SELECT session_guard.attach('users');
SET ROLE regress_app;
DELETE FROM session_guard.epoch;
SELECT session_valid(1, now());
SELECT session_guard.revoke_all_sessions();
SELECT nextval('session_guard.event_id_seq');
RESET ROLE;
-- What the extension needs is there, and a role gets what it is granted.
SELECT session_guard.grant_access('regress_app');
SET ROLE regress_app;
SELECT session_valid(1, now());
RESET ROLE;
SELECT DISTINCT grantee, privilege_type FROM granted;
SELECT count(*) FROM session_guard.health() WHERE NOT ok;
DROP EXTENSION pg_session_guard;

-- As the database's owner, who owns the extension but not its tables.
ALTER DEFAULT PRIVILEGES FOR ROLE regress_dba GRANT ALL ON TABLES TO regress_app;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_dba GRANT ALL ON FUNCTIONS TO regress_app;
GRANT CREATE ON SCHEMA public TO regress_dba;
SET ROLE regress_dba;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT * FROM granted;
-- What it needs, and no more: nobody but the triggers and the functions writes epochs.
SELECT c.relname, array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type) FILTER (WHERE a.privilege_type <> 'MAINTAIN') AS privileges FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'session_guard'::regnamespace AND a.grantee IN ('regress_dba'::regrole, to_regrole('pg_database_owner')) GROUP BY c.relname ORDER BY c.relname;
UPDATE session_guard.epoch SET epoch = '-infinity';
DELETE FROM session_guard.epoch;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok AND check_name <> 'default_guard';
RESET ROLE;

\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_app, regress_other, regress_dba;
