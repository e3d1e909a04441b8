-- Sessions end in a store with its owner's rights and no others, whoever stamps.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE ROLE regress_mallory;
CREATE ROLE regress_clerk;
CREATE SCHEMA m AUTHORIZATION regress_mallory;
CREATE TABLE users (id int PRIMARY KEY, active boolean DEFAULT true);
INSERT INTO users SELECT g FROM generate_series(1, 9) AS g;
SELECT session_guard.attach('users');
GRANT SELECT, UPDATE, DELETE ON users TO regress_clerk;
SET ROLE regress_mallory;
CREATE TABLE m.session (user_id int, seen text);
CREATE FUNCTION m.nosy() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE attempt text; outcome text := '';
BEGIN
    FOREACH attempt IN ARRAY ARRAY['ALTER ROLE regress_mallory SUPERUSER', 'SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT',
            'CREATE TEMP TABLE planted ()', 'SET search_path = m', 'SET statement_timeout = 777777', 'DELETE FROM session_guard.epoch', 'COMMIT'] LOOP
        BEGIN
            EXECUTE attempt;
            outcome := outcome || ' done';
        EXCEPTION WHEN OTHERS THEN outcome := outcome || ' ' || SQLSTATE;
        END;
    END LOOP;
    RAISE WARNING 'as %, by %, with %:%', current_user, session_user = current_user, current_setting('search_path'), outcome;
    RETURN OLD;
END $$;
CREATE TRIGGER nosy BEFORE DELETE ON m.session FOR EACH ROW EXECUTE FUNCTION m.nosy();
RESET ROLE;

-- Both tables must be the caller's.
CREATE FUNCTION sqlstate_of(role name, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
GRANT USAGE ON SCHEMA session_guard TO regress_mallory, regress_clerk;
SELECT format('GRANT EXECUTE ON FUNCTION %s TO regress_mallory, regress_clerk', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'session_guard'::regnamespace AND proname IN ('add_store', 'remove_store') \gexec
SELECT sqlstate_of('regress_mallory', $$SELECT session_guard.add_store('m.session', 'user_id')$$) AS users_of_others,
       sqlstate_of('regress_clerk', $$SELECT session_guard.add_store('m.session', 'user_id')$$) AS clerk,
       sqlstate_of('regress_clerk', $$SELECT session_guard.remove_store('m.session')$$) AS remove;
SELECT session_guard.add_store('m.session', 'user_id');
SELECT sqlstate_of('regress_clerk', $$SELECT session_guard.remove_store('m.session')$$) AS remove;

-- The owner's code runs as the owner, and leaves nothing behind.
INSERT INTO m.session VALUES (1), (2), (3), (4);
SET search_path = public, pg_catalog;
UPDATE users SET active = false WHERE id = 1;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_mallory';
SELECT current_user = session_user AS is_me, current_setting('search_path') AS search_path, current_setting('statement_timeout') AS statement_timeout, to_regclass('planted') AS planted;
RESET search_path;
-- Who stamps needs no right on the store; nor does the role of the triggers count.
SET ROLE regress_clerk;
UPDATE users SET active = false WHERE id = 2;
RESET ROLE;
SET session_replication_role = replica;
UPDATE users SET active = false WHERE id = 3;
RESET session_replication_role;
SELECT user_id FROM m.session ORDER BY 1;
-- Policies count as they do for the owner.
ALTER TABLE m.session ENABLE ROW LEVEL SECURITY;
UPDATE users SET active = false WHERE id = 4;
SELECT user_id FROM m.session ORDER BY 1;
ALTER TABLE m.session FORCE ROW LEVEL SECURITY;
INSERT INTO m.session VALUES (5), (6);
UPDATE users SET active = false WHERE id = 5;
SELECT user_id FROM m.session ORDER BY 1;
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'store';
CREATE POLICY mine ON m.session TO regress_mallory USING (user_id > 5);
SELECT ok FROM session_guard.health() WHERE check_name = 'store';
DROP POLICY mine ON m.session;
CREATE POLICY mine ON m.session TO regress_mallory USING (true);
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'store';
UPDATE users SET active = true WHERE id = 5;
SELECT user_id FROM m.session ORDER BY 1;
-- A role that is renamed is the same role.
ALTER ROLE regress_mallory RENAME TO regress_mallory_2;
INSERT INTO m.session VALUES (7);
UPDATE users SET active = false WHERE id = 7;
SELECT user_id FROM m.session ORDER BY 1;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'store';
SELECT session_guard.reconcile('users');
SELECT ok FROM session_guard.health() WHERE check_name = 'store';
ALTER ROLE regress_mallory_2 RENAME TO regress_mallory;
SELECT session_guard.remove_store('m.session');
DROP EXTENSION pg_session_guard;
DROP TABLE users;

-- Who owns the extension may write rows of stores by hand, and has no rights in them by that.
CREATE ROLE regress_dba LOGIN;
CREATE ROLE regress_alice;
SELECT current_database() AS database, pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = current_database() \gset
ALTER DATABASE :"database" OWNER TO regress_dba;
CREATE SCHEMA lib AUTHORIZATION regress_dba;
SET SESSION AUTHORIZATION regress_dba;
CREATE EXTENSION pg_session_guard SCHEMA lib;
CREATE TABLE lib.users (id int PRIMARY KEY, active boolean DEFAULT true);
SELECT session_guard.attach('lib.users');
INSERT INTO lib.users VALUES (1), (2);
RESET SESSION AUTHORIZATION;
CREATE SCHEMA al AUTHORIZATION regress_alice;
SET ROLE regress_alice;
CREATE TABLE al.secret (user_id int);
INSERT INTO al.secret VALUES (1), (2);
RESET ROLE;
SET SESSION AUTHORIZATION regress_dba;
INSERT INTO session_guard.store VALUES ('lib.users', 'al', 'secret', 'regress_alice', 'user_id', NULL);
UPDATE lib.users SET active = false WHERE id = 1;
SELECT detail FROM session_guard.health() WHERE check_name = 'store';
INSERT INTO session_guard.store_failure VALUES ('lib.users', 'al', 'secret', '-infinity', 'planted');
SELECT session_guard.reconcile('lib.users');
RESET SESSION AUTHORIZATION;
SELECT user_id FROM al.secret ORDER BY 1;
-- Nor does a row say otherwise than the owner did: to delete where a column was to be raised, or for an owner who came later.
ALTER TABLE al.secret ADD at timestamptz, ADD UNIQUE (user_id);
SELECT session_guard.remove_store('al.secret');
SELECT session_guard.add_store('al.secret', 'user_id', 'at', users => 'lib.users');
SET SESSION AUTHORIZATION regress_dba;
DELETE FROM session_guard.store;
INSERT INTO session_guard.store VALUES ('lib.users', 'al', 'secret', 'regress_alice', 'user_id', NULL);
UPDATE lib.users SET active = false WHERE id = 2;
RESET SESSION AUTHORIZATION;
SELECT user_id FROM al.secret ORDER BY 1;
ALTER TABLE al.secret OWNER TO :"owner";
SET SESSION AUTHORIZATION regress_dba;
DELETE FROM session_guard.store;
INSERT INTO session_guard.store SELECT 'lib.users', 'al', 'secret', pg_get_userbyid(relowner), 'user_id', 'at' FROM pg_class WHERE oid = (SELECT oid FROM pg_class WHERE relname = 'secret');
UPDATE lib.users SET active = true WHERE id = 2;
RESET SESSION AUTHORIZATION;
SELECT user_id FROM al.secret WHERE at > now() ORDER BY 1;
ALTER TABLE al.secret OWNER TO regress_alice;
ALTER TABLE al.secret DROP COLUMN at;
-- Nor where the owner had taken it back.
SELECT session_guard.add_store('al.secret', 'user_id', users => 'lib.users');
SELECT session_guard.remove_store('al.secret');
SET SESSION AUTHORIZATION regress_dba;
INSERT INTO session_guard.store VALUES ('lib.users', 'al', 'secret', 'regress_alice', 'user_id', NULL);
UPDATE lib.users SET active = false WHERE id = 2;
RESET SESSION AUTHORIZATION;
SELECT user_id FROM al.secret ORDER BY 1;
-- Nor where the owner had added it, and another table has its name.
SELECT session_guard.add_store('al.secret', 'user_id', users => 'lib.users');
SELECT user_id FROM al.secret ORDER BY 1;
ALTER TABLE al.secret RENAME TO old_secret;
CREATE TABLE al.secret (user_id int);
ALTER TABLE al.secret OWNER TO regress_alice;
INSERT INTO al.secret VALUES (1), (2);
INSERT INTO al.old_secret VALUES (1);
UPDATE lib.users SET active = true WHERE id = 1;
SELECT (SELECT string_agg(user_id::text, ' ') FROM al.secret) AS secret, (SELECT string_agg(user_id::text, ' ') FROM al.old_secret) AS old_secret;

-- A table below the store that is another role's has triggers of that role: they must not run with the rights of the store's owner.
CREATE TABLE lib.parted (user_id int) PARTITION BY LIST (user_id);
CREATE TABLE lib.parted_1 PARTITION OF lib.parted DEFAULT;
CREATE TABLE lib.above (user_id int);
CREATE TABLE lib.below () INHERITS (lib.above);
ALTER TABLE lib.parted_1 OWNER TO regress_mallory;
ALTER TABLE lib.below OWNER TO regress_mallory;
SELECT session_guard.add_store('lib.parted', 'user_id', users => 'lib.users');
SELECT session_guard.add_store('lib.above', 'user_id', users => 'lib.users');
ALTER TABLE lib.parted_1 OWNER TO :"owner";
SELECT session_guard.add_store('lib.parted', 'user_id', users => 'lib.users');
ALTER TABLE lib.parted_1 OWNER TO regress_mallory;
INSERT INTO lib.parted VALUES (1);
UPDATE lib.users SET active = NOT active WHERE id = 1;
SELECT user_id FROM lib.parted;
ALTER TABLE lib.parted_1 OWNER TO :"owner";
UPDATE lib.users SET active = NOT active WHERE id = 1;
SELECT user_id FROM lib.parted;

DROP EXTENSION pg_session_guard;
ALTER DATABASE :"database" OWNER TO :"owner";
DROP SCHEMA m, al, lib CASCADE;
DROP FUNCTION sqlstate_of;
DROP ROLE regress_mallory, regress_clerk, regress_dba, regress_alice;
