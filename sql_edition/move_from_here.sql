-- What both moves begin with, as a superuser: keeps all that is to be moved, while nobody can change it.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
-- The names that tables have now, with the rights of who may read them.
SELECT pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(n.nspowner), true) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard';
SELECT session_guard.reconcile();
SET LOCAL ROLE none;
DO $do$
DECLARE guarded record;
BEGIN
    FOR guarded IN SELECT pg_catalog.format('%I.%I', r.schema_name, r.table_name) AS name FROM session_guard.guard AS r WHERE r.detached_at IS NULL
        UNION SELECT pg_catalog.format('%I.%I', w.schema_name, w.table_name) FROM session_guard.watch AS w ORDER BY 1 LOOP
        IF pg_catalog.to_regclass(guarded.name) IS NOT NULL THEN
            EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', guarded.name);
        END IF;
    END LOOP;
END $do$;
LOCK TABLE session_guard.guard, session_guard.watch, session_guard.store, session_guard.store_failure, session_guard.unwatched, session_guard.policy,
    session_guard.epoch, session_guard.guard_epoch, session_guard.token_epoch, session_guard.event IN ACCESS EXCLUSIVE MODE;
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
