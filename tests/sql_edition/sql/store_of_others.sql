-- Stamps end sessions with the rights of the edition's owner. A store of a role whose rights that one does not have is refused,
-- and nothing that is written by hand changes it.
SET client_min_messages = warning;
CREATE ROLE regress_alice;
CREATE ROLE regress_dba;
CREATE SCHEMA al AUTHORIZATION regress_alice;
CREATE TABLE al.secret (user_id int);
ALTER TABLE al.secret OWNER TO regress_alice;
CREATE TABLE kept (user_id int);
INSERT INTO al.secret VALUES (1), (2), (3);
INSERT INTO kept SELECT user_id FROM al.secret;
-- As a superuser, who does not run the code of a role that is none.
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (2, true), (3, true);
SELECT session_guard.attach('users');
SELECT session_guard.add_store('al.secret', 'user_id');
SELECT session_guard.add_store('kept', 'user_id');
INSERT INTO session_guard.store VALUES ('public.users', 'al', 'secret', 'regress_alice', 'user_id', NULL);
INSERT INTO session_guard.trigger_state SELECT 'public.users', 'store al.secret', 0, format('%s %s r 2 1:23', 'al.secret'::regclass::oid, relowner) FROM pg_class WHERE oid = 'al.secret'::regclass;
UPDATE users SET active = false WHERE id = 1;
SELECT (SELECT count(*) FROM al.secret) AS secret, (SELECT count(*) FROM kept) AS kept;
-- A store that is given to another role is no store any more.
ALTER TABLE kept OWNER TO regress_alice;
UPDATE users SET active = false WHERE id = 2;
SELECT (SELECT count(*) FROM al.secret) AS secret, (SELECT count(*) FROM kept) AS kept;
SELECT detail FROM session_guard.health() WHERE check_name = 'store';
DROP EXTENSION pg_session_guard;
DROP TABLE users, kept;
-- As a role that is no superuser: with the rights of the other, and without.
GRANT CREATE ON SCHEMA public TO regress_dba;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_dba', current_database()) \gexec
SET ROLE regress_dba;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true), (2, true), (3, true);
SELECT session_guard.attach('users');
SELECT session_guard.add_store('al.secret', 'user_id');
RESET ROLE;
GRANT regress_alice TO regress_dba;
SET ROLE regress_dba;
SELECT session_guard.add_store('al.secret', 'user_id');
UPDATE users SET active = false WHERE id = 1;
RESET ROLE;
SELECT user_id FROM al.secret;
REVOKE regress_alice FROM regress_dba;
UPDATE users SET active = false WHERE id = 2;
SELECT user_id FROM al.secret;
DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP SCHEMA al CASCADE;
DROP OWNED BY regress_dba;
DROP ROLE regress_alice, regress_dba;
