-- Sessions in stores end, and users of watched tables are stamped, when the app has done all that it does before COMMIT; and neither before,
-- nor after, whatever the app does with its constraints.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, valid_until timestamptz DEFAULT 'infinity');
CREATE TABLE role (user_id int, name text);
CREATE TABLE session (user_id int);
INSERT INTO users SELECT g FROM generate_series(1, 30) AS g;
INSERT INTO session SELECT id FROM users;
SELECT session_guard.attach('users', active_column => 'valid_until', active_when => 'future'), session_guard.watch('role', 'user_id'), session_guard.add_store('session', 'user_id');
SELECT session_guard.configure(audit => true);
CREATE VIEW ended AS SELECT coalesce(string_agg(g::text, ' ' ORDER BY g), 'none') AS ended FROM generate_series(1, 30) AS g WHERE g NOT IN (SELECT user_id FROM session);
CREATE VIEW stamps AS SELECT coalesce(string_agg(user_id || ' ' || reason, ', ' ORDER BY id), 'none') AS stamps FROM session_guard.event WHERE transaction_id = pg_current_xact_id();
CREATE FUNCTION disable(which int) RETURNS int LANGUAGE sql AS 'UPDATE public.users SET valid_until = ''-infinity'' WHERE id = which RETURNING id';

-- Constraints that are made immediate, before the change or after.
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT disable(1);
INSERT INTO role VALUES (2, 'a');
TABLE ended; TABLE stamps;
COMMIT;
BEGIN;
SELECT disable(3);
INSERT INTO role VALUES (4, 'a');
SET CONSTRAINTS ALL IMMEDIATE;
TABLE ended; TABLE stamps;
INSERT INTO role VALUES (5, 'a');
SET CONSTRAINTS ALL IMMEDIATE;
TABLE ended; TABLE stamps;
COMMIT;
TABLE ended;
SELECT user_id, reason FROM session_guard.event ORDER BY id;
-- In a savepoint.
BEGIN;
SELECT disable(6);
INSERT INTO role VALUES (7, 'a');
SAVEPOINT s;
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO role VALUES (8, 'a');
TABLE ended; TABLE stamps;
ROLLBACK TO s;
COMMIT;
BEGIN;
SAVEPOINT s;
INSERT INTO role VALUES (9, 'a');
SET CONSTRAINTS ALL IMMEDIATE;
RELEASE s;
INSERT INTO role VALUES (10, 'a');
COMMIT;
BEGIN;
SAVEPOINT s;
INSERT INTO role VALUES (11, 'a');
SELECT disable(12);
ROLLBACK TO s;
INSERT INTO role VALUES (13, 'a');
COMMIT;
TABLE ended;
SELECT user_id, reason FROM session_guard.event WHERE user_id::int > 5 ORDER BY id;

-- What the app itself defers comes first: what that changes is stamped with the rest, sorted.
CREATE TABLE task (disables int, grants int);
CREATE FUNCTION do_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.disable(NEW.disables);
    INSERT INTO public.role VALUES (NEW.grants, 'b');
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER do_task AFTER INSERT ON task DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION do_task();
BEGIN;
INSERT INTO role VALUES (15, 'b');
INSERT INTO task VALUES (16, 14);
COMMIT;
TABLE ended;
SELECT user_id, reason FROM session_guard.event WHERE user_id::int > 13 ORDER BY id;
-- Also where a cursor WITH HOLD comes after that.
BEGIN;
INSERT INTO role VALUES (17, 'b');
DECLARE held CURSOR WITH HOLD FOR SELECT disable(18);
COMMIT;
CLOSE held;
TABLE ended;

-- Where deferred triggers cannot be called.
CREATE FUNCTION disable_here() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.role VALUES (20, ''c''); RETURN public.disable(19); END';
CREATE MATERIALIZED VIEW disabled AS SELECT disable_here() AS id WITH NO DATA;
REFRESH MATERIALIZED VIEW disabled;
DROP MATERIALIZED VIEW disabled;
TABLE ended;

-- What is rolled back to a savepoint alone was nothing, and nobody is told of it.
BEGIN; SAVEPOINT s; SELECT disable(25); ROLLBACK TO s; COMMIT;
BEGIN; SAVEPOINT s; SELECT session_guard.revoke_all_sessions() IS NOT NULL AS is_stamped; ROLLBACK TO s; PREPARE TRANSACTION 'undone';
COMMIT PREPARED 'undone';
DO $$ BEGIN PERFORM public.disable(25); RAISE 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
TABLE ended;
-- Of an app's role that may not use the schema.
CREATE ROLE regress_app;
GRANT ALL ON ALL TABLES IN SCHEMA public TO regress_app;
SET ROLE regress_app;
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO role VALUES (25, 'e'); COMMIT;
BEGIN; INSERT INTO role VALUES (26, 'e'); SAVEPOINT s; SET CONSTRAINTS ALL IMMEDIATE; COMMIT;
RESET ROLE;
TABLE ended;
-- Its own deferred triggers may change the role.
CREATE ROLE regress_other;
GRANT regress_other TO regress_app;
CREATE TABLE countdown (n int);
CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.n > 0 THEN INSERT INTO public.countdown VALUES (NEW.n - 1); ELSE SET ROLE regress_other; RESET ROLE; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER count_down AFTER INSERT ON countdown DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_down();
GRANT INSERT ON countdown TO regress_app;
SET SESSION AUTHORIZATION regress_app;
BEGIN; INSERT INTO countdown VALUES (2); INSERT INTO role VALUES (26, 'g'); SELECT disable(26); COMMIT;
RESET SESSION AUTHORIZATION;
DROP TABLE countdown;
-- A store that comes and goes meanwhile, and one of a guard that had none when its user was stamped.
BEGIN; SELECT disable(27); SAVEPOINT s; SELECT session_guard.remove_store('session'); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO s; COMMIT;
TABLE ended;
SELECT session_guard.remove_store('session');
BEGIN; SELECT session_guard.revoke_sessions(28) IS NOT NULL AS is_stamped; SAVEPOINT s; SELECT session_guard.add_store('session', 'user_id'); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO s;
SET CONSTRAINTS ALL IMMEDIATE; SELECT session_guard.add_store('session', 'user_id'); COMMIT;
TABLE ended;
CREATE TABLE staff (id int PRIMARY KEY, active boolean DEFAULT true);
CREATE TABLE staff_session (user_id int);
SELECT session_guard.attach('staff', is_default => false), session_guard.add_store('staff_session', 'user_id', users => 'staff'), session_guard.remove_store('session');
BEGIN; SELECT session_guard.revoke_sessions(29) IS NOT NULL AS is_stamped; SET CONSTRAINTS ALL IMMEDIATE; SELECT session_guard.add_store('session', 'user_id'); COMMIT;
TABLE ended;
SELECT session_guard.detach('staff', true);
DROP TABLE staff, staff_session;
-- What the app defers itself, and checks at once, is as it was.
CREATE TABLE unique_number (n int UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
INSERT INTO unique_number VALUES (1);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION defer_all() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER defer_all AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION defer_all();
BEGIN; INSERT INTO child VALUES (1); SELECT disable(30); SET CONSTRAINTS session_guard.session_guard_at_commit IMMEDIATE; INSERT INTO child VALUES (2); INSERT INTO parent VALUES (1), (2); COMMIT;
TABLE ended;
INSERT INTO session VALUES (30);
BEGIN; INSERT INTO parent VALUES (3); INSERT INTO role VALUES (30, 'f'); SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO unique_number VALUES (1);
ROLLBACK;
BEGIN; INSERT INTO parent VALUES (3); INSERT INTO role VALUES (30, 'f'); SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL IMMEDIATE; COMMIT;
TABLE ended;
DROP TABLE child, parent, unique_number;
SELECT count(*) AS told FROM session_guard.store_failure;
INSERT INTO session SELECT unnest('{21,22,23,24}'::int[]) EXCEPT TABLE session;

-- A prepared transaction: an account may have expired when it commits. It is stamped, and its sessions are told to be left.
UPDATE users SET valid_until = now() + interval '1 day' WHERE id IN (21, 22);
BEGIN;
UPDATE users SET valid_until = 'infinity' WHERE id = 21;
SELECT disable(22);
PREPARE TRANSACTION 'work';
COMMIT PREPARED 'work';
TABLE ended;
SELECT reason FROM session_guard.store_failure;
SELECT session_guard.reconcile();
TABLE ended;

-- Where the constraint has another name, or cannot be deferred, the app's writes go on.
INSERT INTO session SELECT unnest('{23,24}'::int[]) EXCEPT TABLE session;
ALTER TABLE session_guard.pending RENAME CONSTRAINT session_guard_at_commit TO "at commit";
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO role VALUES (23, 'h'); COMMIT;
TABLE ended;
DROP TRIGGER session_guard_at_commit ON session_guard.pending;
CREATE CONSTRAINT TRIGGER session_guard_at_commit AFTER INSERT ON session_guard.pending NOT DEFERRABLE FOR EACH ROW EXECUTE FUNCTION session_guard.stamp_pending();
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO role VALUES (24, 'h'); COMMIT;
SELECT remedy FROM session_guard.health() WHERE check_name = 'own_tables' AND NOT ok \gexec
SELECT session_guard.reconcile();
TABLE ended;
INSERT INTO session SELECT unnest('{23,24}'::int[]) EXCEPT TABLE session;

-- Without the trigger: it is stamped all the same.
ALTER TABLE session_guard.pending DISABLE TRIGGER session_guard_at_commit;
SELECT session_start(24) AS login \gset
BEGIN;
SELECT disable(23);
INSERT INTO role VALUES (24, 'd');
COMMIT;
SELECT session_verdict(24, :'login');
TABLE ended;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE check_name = 'own_tables' AND NOT ok;
SELECT remedy FROM session_guard.health() WHERE check_name = 'own_tables' AND NOT ok \gexec
SELECT session_guard.reconcile();
TABLE ended;
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok AND check_name <> 'default_guard';

DROP TABLE task;
DROP VIEW ended, stamps;
DROP TABLE session, role;
DROP EXTENSION pg_session_guard CASCADE;
DROP FUNCTION do_task, disable, disable_here, defer_all, count_down;
DROP OWNED BY regress_app;
DROP ROLE regress_app, regress_other;
DROP TABLE users;
