-- What both moves begin with, as a superuser: keeps all that is to be moved, while nobody can change it.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
-- With the rights of who owns the schema: what that role may have put in the place of a table or function must not run as a
-- superuser. Tables are named as they are now.
SELECT pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(n.nspowner), true) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard';
SELECT session_guard.reconcile();
CREATE TEMPORARY TABLE moved_table ON COMMIT DROP AS
    SELECT r.schema_name, r.table_name FROM session_guard.guard AS r WHERE r.detached_at IS NULL UNION SELECT w.schema_name, w.table_name FROM session_guard.watch AS w;
SET LOCAL ROLE none;
DO $do$
DECLARE moved record;
BEGIN
    IF (SELECT c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) 'pg_temp.moved_table'::pg_catalog.regclass) THEN
        RAISE EXCEPTION 'pg_temp.moved_table is no table';
    END IF;
    FOR moved IN SELECT c.oid::pg_catalog.regclass AS name FROM pg_temp.moved_table AS m JOIN pg_catalog.pg_class AS c ON c.relname OPERATOR(pg_catalog.=) m.table_name
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace AND n.nspname OPERATOR(pg_catalog.=) m.schema_name ORDER BY c.oid LOOP
        EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', moved.name);
    END LOOP;
END $do$;
LOCK TABLE session_guard.guard, session_guard.watch, session_guard.store, session_guard.store_failure, session_guard.unwatched, session_guard.policy,
    session_guard.epoch, session_guard.guard_epoch, session_guard.token_epoch, session_guard.event IN ACCESS EXCLUSIVE MODE;
SELECT pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(n.nspowner), true) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard';
CREATE TEMPORARY TABLE moved_guard ON COMMIT DROP AS TABLE session_guard.guard;
CREATE TEMPORARY TABLE moved_watch ON COMMIT DROP AS TABLE session_guard.watch;
CREATE TEMPORARY TABLE moved_store ON COMMIT DROP AS TABLE session_guard.store;
CREATE TEMPORARY TABLE moved_store_failure ON COMMIT DROP AS TABLE session_guard.store_failure;
CREATE TEMPORARY TABLE moved_unwatched ON COMMIT DROP AS TABLE session_guard.unwatched;
CREATE TEMPORARY TABLE moved_policy ON COMMIT DROP AS SELECT p.set_at, p.set_by, p.future_login_tolerance, p.stamp_margin, p.when_disarmed, p.audit, p.notify, p.revocation_durability,
    p.max_standby_staleness, p.when_timeline_changed FROM session_guard.policy AS p;
CREATE TEMPORARY TABLE moved_epoch ON COMMIT DROP AS TABLE session_guard.epoch;
CREATE TEMPORARY TABLE moved_guard_epoch ON COMMIT DROP AS TABLE session_guard.guard_epoch;
CREATE TEMPORARY TABLE moved_token_epoch ON COMMIT DROP AS TABLE session_guard.token_epoch;
CREATE TEMPORARY TABLE moved_event ON COMMIT DROP AS TABLE session_guard.event;
-- Where apps find the functions, and who may call them.
CREATE TEMPORARY TABLE moved_access ON COMMIT DROP AS
    SELECT DISTINCT n.nspname AS schema_name, CASE WHEN a.grantee OPERATOR(pg_catalog.<>) p.proowner THEN a.grantee END AS role
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    WHERE p.proname OPERATOR(pg_catalog.=) 'token_valid' AND a.grantee OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
      AND (p.prosrc OPERATOR(pg_catalog.~~) '%session_guard.token_verdict%' OR p.prosrc OPERATOR(pg_catalog.=) 'token_valid_wrapper');
