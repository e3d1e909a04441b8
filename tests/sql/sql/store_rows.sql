-- A row of session_guard.store that is written or restored counts only by the rights that its writer has in the table.
SET client_min_messages = warning;
CREATE ROLE regress_dba LOGIN;
CREATE ROLE regress_alice;
CREATE ROLE regress_scribe;
GRANT pg_read_all_data, pg_write_all_data TO regress_scribe;
SELECT current_user AS superuser, current_database() AS database, pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = current_database() \gset
ALTER DATABASE :"database" OWNER TO regress_dba;
CREATE SCHEMA lib AUTHORIZATION regress_dba;
CREATE SCHEMA al AUTHORIZATION regress_alice;
CREATE TABLE lib.users (id int PRIMARY KEY, active boolean DEFAULT true);
ALTER TABLE lib.users OWNER TO regress_dba;
INSERT INTO lib.users SELECT g FROM generate_series(1, 9) AS g;
CREATE TABLE al.secret (user_id int);
ALTER TABLE al.secret OWNER TO regress_alice;
CREATE TABLE lib.own (user_id int);
ALTER TABLE lib.own OWNER TO regress_dba;
CREATE TABLE of_superuser (user_id int UNIQUE, at timestamptz);
-- A dump that is restored: the extension is made anew, and the rows come by who restores them.
CREATE TABLE dump AS SELECT NULL::text AS guard, NULL::name AS schema_name, NULL::name AS table_name, NULL::name AS table_owner, NULL::name AS user_id_column, NULL::name AS revoked_at_column WHERE false;
GRANT SELECT ON dump TO regress_dba, regress_alice;
CREATE PROCEDURE create_extension_again() LANGUAGE plpgsql AS $$
BEGIN
    DROP EXTENSION IF EXISTS pg_session_guard;
    SET LOCAL SESSION AUTHORIZATION regress_dba;
    CREATE EXTENSION pg_session_guard SCHEMA lib;
    PERFORM session_guard.attach('lib.users');
END $$;
CREATE PROCEDURE log_in() LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM al.secret; DELETE FROM lib.own; DELETE FROM of_superuser;
    INSERT INTO al.secret VALUES (1); INSERT INTO lib.own VALUES (1); INSERT INTO of_superuser VALUES (1, NULL);
END $$;
CREATE VIEW sessions AS SELECT (SELECT count(*) FROM al.secret) AS secret, (SELECT count(*) FROM lib.own) AS own, (SELECT count(at) FROM of_superuser) AS raised_of_superuser;
CREATE VIEW rows AS SELECT table_name, table_owner, user_id_column, revoked_at_column FROM dump ORDER BY 1;

-- The owner of the extension writes a row for another's table, in the names of the table's owner, of a superuser and of nobody.
CALL create_extension_again();
SET SESSION AUTHORIZATION regress_dba;
INSERT INTO session_guard.store VALUES ('lib.users', 'al', 'secret', 'regress_alice', 'user_id', NULL);
INSERT INTO session_guard.store VALUES ('lib.users', 'public', 'of_superuser', :'superuser', 'user_id', 'at'), ('lib.users', 'lib', 'own', 'regress_nobody', 'user_id', NULL);
RESET SESSION AUTHORIZATION;
INSERT INTO dump TABLE session_guard.store;
TABLE rows;
CALL log_in();
SET client_min_messages = error;
UPDATE lib.users SET active = false WHERE id = 1;
TABLE sessions;
-- A superuser restores it.
CALL create_extension_again();
INSERT INTO session_guard.store TABLE dump;
SET client_min_messages = warning;
CALL log_in();
UPDATE lib.users SET active = true WHERE id = 1;
TABLE sessions;
-- There is no remedy to be run as it stands: who runs it would agree to what another has planted.
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store' ORDER BY 1;
-- Nor by UPDATE.
SET ROLE regress_scribe;
UPDATE session_guard.store SET table_owner = 'regress_alice' WHERE table_name = 'secret';
RESET ROLE;
SELECT table_owner FROM session_guard.store WHERE table_name = 'secret';

-- What the owners have agreed to is restored by a superuser, in columns that the row names.
CALL create_extension_again();
TRUNCATE dump;
SELECT session_guard.add_store('al.secret', 'user_id', users => 'lib.users'), session_guard.add_store('lib.own', 'user_id', users => 'lib.users'), session_guard.add_store('of_superuser', 'user_id', 'at', 'lib.users');
INSERT INTO dump TABLE session_guard.store;
TABLE rows;
CALL create_extension_again();
INSERT INTO session_guard.store TABLE dump;
CALL log_in();
UPDATE lib.users SET active = false WHERE id = 1;
TABLE sessions;
SELECT DISTINCT ok FROM session_guard.health() WHERE check_name = 'store';
-- Renames are followed from then on.
ALTER TABLE al.secret RENAME user_id TO account;
ALTER TABLE al.secret RENAME TO moved;
CALL log_in();
UPDATE lib.users SET active = true WHERE id = 1;
TABLE sessions;
ALTER TABLE al.moved RENAME TO secret;
ALTER TABLE al.secret RENAME account TO user_id;

-- The owner of the database restores for the own tables alone: also where the row names a role that is not there.
CALL create_extension_again();
SET SESSION AUTHORIZATION regress_dba;
INSERT INTO session_guard.store SELECT guard, schema_name, table_name, CASE table_name WHEN 'own' THEN 'regress_nobody' ELSE table_owner END, user_id_column, revoked_at_column FROM dump;
RESET SESSION AUTHORIZATION;
CALL log_in();
SET client_min_messages = error;
UPDATE lib.users SET active = false WHERE id = 1;
TABLE sessions;
-- And for those of a role whose rights it has.
GRANT regress_alice TO regress_dba;
CALL create_extension_again();
SET SESSION AUTHORIZATION regress_dba;
INSERT INTO session_guard.store TABLE dump;
RESET SESSION AUTHORIZATION;
REVOKE regress_alice FROM regress_dba;
CALL log_in();
UPDATE lib.users SET active = true WHERE id = 1;
TABLE sessions;

-- A table that has another owner now, or other columns, or that comes later.
ALTER TABLE al.secret OWNER TO :"superuser";
ALTER TABLE of_superuser RENAME at TO until;
ALTER TABLE lib.own RENAME TO another;
CALL create_extension_again();
INSERT INTO session_guard.store TABLE dump;
ALTER TABLE lib.another RENAME TO own;
ALTER TABLE al.secret OWNER TO regress_alice;
ALTER TABLE of_superuser RENAME until TO at;
CALL log_in();
UPDATE lib.users SET active = false WHERE id = 1;
TABLE sessions;
-- A table that was restored with its owner's consent, and went to another owner.
CALL create_extension_again();
INSERT INTO session_guard.store TABLE dump;
REASSIGN OWNED BY regress_alice TO :"superuser";
CALL log_in();
UPDATE lib.users SET active = true WHERE id = 1;
TABLE sessions;
ALTER TABLE al.secret OWNER TO regress_alice;
ALTER SCHEMA al OWNER TO regress_alice;

-- What is replicated says nothing of the roles and tables here; nor does it in a dump of this database.
CALL create_extension_again();
SET session_replication_role = replica;
INSERT INTO session_guard.store TABLE dump;
RESET session_replication_role;
CALL log_in();
UPDATE lib.users SET active = false WHERE id = 1;
TABLE sessions;
CREATE TABLE dump_of_subscriber AS TABLE session_guard.store;
CALL create_extension_again();
INSERT INTO session_guard.store TABLE dump_of_subscriber;
UPDATE lib.users SET active = true WHERE id = 1;
TABLE sessions;
SELECT DISTINCT table_owner FROM session_guard.store;
-- A row of a table that is a store already stays as it is.
DELETE FROM session_guard.store;
SELECT session_guard.add_store('al.secret', 'user_id', users => 'lib.users');
INSERT INTO session_guard.store SELECT 'lib.users', 'al', 'secret', table_owner, 'nothing', NULL FROM dump LIMIT 1;
SELECT user_id_column FROM session_guard.store;

SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
ALTER DATABASE :"database" OWNER TO :"owner";
DROP VIEW sessions, rows;
DROP TABLE dump, dump_of_subscriber, of_superuser;
DROP SCHEMA al, lib CASCADE;
DROP PROCEDURE create_extension_again, log_in;
DROP ROLE regress_dba, regress_alice, regress_scribe;
