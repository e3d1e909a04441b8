-- The functions read the users table as their owner. Where row-level security may hide rows from that role, nobody is taken for
-- unknown: checks raise, stamps go on, and health() says so.
SET client_min_messages = warning;
CREATE ROLE regress_edition;
CREATE ROLE regress_tables;
CREATE ROLE regress_app;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_edition', current_database()) \gexec
CREATE SCHEMA app AUTHORIZATION regress_edition;
SET ROLE regress_edition;
SET search_path = app;
CREATE EXTENSION pg_session_guard SCHEMA app;
RESET client_min_messages;
CREATE TABLE users (id int PRIMARY KEY, active boolean, tenant int);
CREATE TABLE role (user_id int);
INSERT INTO users VALUES (1, true, 1), (2, true, 2), (3, false, 2);
GRANT ALL ON users, role TO regress_app;
GRANT USAGE ON SCHEMA app TO regress_app;
SELECT session_guard.attach('users'), session_guard.watch('role', 'user_id'), session_guard.grant_access('regress_app');
CREATE POLICY of_tenant ON users USING (tenant = 1);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;

-- It applies to the app alone: as without it.
SET ROLE regress_app;
SELECT count(*) FROM users;
SELECT session_start(2) AS at \gset
SELECT session_verdict(2, :'at'), session_verdict(3, now());
SET ROLE regress_edition;
SELECT check_name FROM session_guard.health() WHERE NOT ok;

-- To the owner as well.
ALTER TABLE users FORCE ROW LEVEL SECURITY;
SELECT check_name, ok, detail, remedy FROM session_guard.health() WHERE guard IS NOT NULL \gx
SET ROLE regress_app;
SELECT session_verdict(2, :'at');
SELECT session_start(2);
SELECT session_valid('users', 1, now());
SET ROLE regress_edition;
SELECT session_guard.revoke_sessions(2);
SELECT session_guard.attach('users');
SELECT session_guard.reconcile();
SELECT session_guard.add_store('role', 'user_id');
-- Whoever changes an account, or a role, ends its sessions.
SET ROLE regress_app;
INSERT INTO role VALUES (2);
UPDATE users SET active = false WHERE id = 1;
SET ROLE regress_edition;
SELECT user_id, reason FROM session_guard.epoch ORDER BY user_id;
SELECT count(*) FROM session_guard.unwatched;
-- Of accounts that may be hidden, nobody knows whether they are gone.
UPDATE session_guard.epoch SET epoch = '2020-01-01', stamped_at = '2020-01-01' WHERE user_id = '3';
SELECT * FROM session_guard.prune(epochs_older_than => '90 days');
SELECT count(*) FROM session_guard.epoch WHERE user_id = '3';

-- A policy that shows the role all, unless another takes away from it.
CREATE POLICY session_guard ON users TO regress_edition USING (true);
SELECT check_name FROM session_guard.health() WHERE NOT ok;
SELECT session_verdict(2, :'at'), session_verdict(3, now()), session_start(2) IS NOT NULL AS is_given;
CREATE POLICY less ON users AS RESTRICTIVE USING (tenant > 0);
SELECT check_name FROM session_guard.health() WHERE NOT ok;
SELECT session_verdict(2, :'at');
DROP POLICY less ON users;
CREATE POLICY less ON users AS RESTRICTIVE TO regress_app USING (tenant > 0);
SELECT session_verdict(2, :'at');
ALTER POLICY session_guard ON users USING (id > 0);
SELECT session_verdict(2, :'at');
DROP POLICY session_guard ON users;
-- One that is only for reading keeps session_start from locking the row.
CREATE POLICY session_guard ON users FOR SELECT TO regress_edition USING (true);
SELECT session_start(2);
DROP POLICY session_guard ON users;
-- A right of the role's own, which is looked at in each call.
RESET ROLE;
ALTER ROLE regress_edition BYPASSRLS;
SELECT session_verdict(2, :'at'), session_verdict(3, now());
ALTER ROLE regress_edition NOBYPASSRLS;
SELECT session_verdict(2, :'at');
SELECT session_guard.reconcile();

-- A table of another role, which is trusted.
SET ROLE regress_edition;
DROP POLICY of_tenant ON users;
ALTER TABLE users NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
RESET ROLE;
ALTER TABLE users OWNER TO regress_tables;
GRANT SELECT, UPDATE, TRIGGER ON users TO regress_edition;
SET ROLE regress_edition;
SELECT session_guard.attach('users');
SELECT session_verdict(2, session_start(2));
RESET ROLE;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
SELECT session_verdict(2, now());
SELECT detail FROM session_guard.health() WHERE check_name = 'table';
CREATE POLICY session_guard ON users TO regress_edition USING (true);
SELECT session_verdict(2, session_start(2));

-- A session store whose rows are hidden fails, and is not taken for empty.
SET ROLE regress_edition;
CREATE TABLE cookie (user_id int);
INSERT INTO cookie VALUES (2);
SELECT session_guard.add_store('cookie', 'user_id');
ALTER TABLE cookie ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_app;
UPDATE users SET active = false WHERE id = 2;
RESET ROLE;
UPDATE users SET active = false WHERE id = 2;
SELECT detail FROM session_guard.health() WHERE check_name = 'store';
ALTER TABLE cookie NO FORCE ROW LEVEL SECURITY;
SET ROLE regress_edition;
SELECT session_guard.reconcile();
SELECT count(*) FROM cookie;

RESET ROLE;
SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
DROP SCHEMA app CASCADE;
DROP OWNED BY regress_edition, regress_tables, regress_app;
DROP ROLE regress_edition, regress_tables, regress_app;
