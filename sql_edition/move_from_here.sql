-- What both moves begin with, as a superuser: keeps all that is to be moved, while nobody can change it.
-- With the rights of who owns the schema: what that role may have put in the place of a table or function must not run as a
-- superuser. After SET ROLE it could take the superuser's rights back; in a function of the role's own, which is SECURITY DEFINER, it
-- cannot. Each such function is called once: its owner may have replaced it then. What is deferred to COMMIT runs here.
--
-- What waits is stamped first, in a transaction of its own: one that has stamped cannot drop the extension.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE FUNCTION pg_temp.as_owner_before() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $do$
BEGIN
    PERFORM session_guard.reconcile();
    SET CONSTRAINTS ALL IMMEDIATE;
END $do$;
DO $do$
BEGIN
    EXECUTE (SELECT pg_catalog.format('ALTER FUNCTION pg_temp.as_owner_before() OWNER TO %I', pg_catalog.pg_get_userbyid(n.nspowner)) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard');
END $do$;
SELECT pg_temp.as_owner_before();
COMMIT;
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
-- Tables are named as they are now.
CREATE FUNCTION pg_temp.as_owner_first() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $do$
BEGIN
    CREATE TEMPORARY TABLE moved_table ON COMMIT DROP AS
        SELECT r.schema_name, r.table_name FROM session_guard.guard AS r WHERE r.detached_at IS NULL UNION SELECT w.schema_name, w.table_name FROM session_guard.watch AS w;
    SET CONSTRAINTS ALL IMMEDIATE;
END $do$;
DO $do$
BEGIN
    EXECUTE (SELECT pg_catalog.format('ALTER FUNCTION pg_temp.as_owner_first() OWNER TO %I', pg_catalog.pg_get_userbyid(n.nspowner)) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard');
END $do$;
SELECT pg_temp.as_owner_first();
DO $do$
DECLARE moved record;
BEGIN
    -- To read a view, or a value of a type of its own, could run code of that role's, too.
    IF EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) 'pg_temp.moved_table'::pg_catalog.regclass
               AND (c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
                    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND t.typnamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace))) THEN
        RAISE EXCEPTION 'pg_temp.moved_table is no table';
    END IF;
    FOR moved IN SELECT c.oid::pg_catalog.regclass AS name FROM pg_temp.moved_table AS m JOIN pg_catalog.pg_class AS c ON c.relname OPERATOR(pg_catalog.=) m.table_name
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace AND n.nspname OPERATOR(pg_catalog.=) m.schema_name ORDER BY c.oid LOOP
        EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', moved.name);
    END LOOP;
END $do$;
LOCK TABLE session_guard.guard, session_guard.watch, session_guard.store, session_guard.store_failure, session_guard.unwatched, session_guard.policy,
    session_guard.epoch, session_guard.guard_epoch, session_guard.token_epoch, session_guard.event IN ACCESS EXCLUSIVE MODE;
CREATE FUNCTION pg_temp.as_owner_then() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $do$
BEGIN
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
SET CONSTRAINTS ALL IMMEDIATE;
END $do$;
DO $do$
BEGIN
    EXECUTE (SELECT pg_catalog.format('ALTER FUNCTION pg_temp.as_owner_then() OWNER TO %I', pg_catalog.pg_get_userbyid(n.nspowner)) FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard');
END $do$;
SELECT pg_temp.as_owner_then();
DO $do$
DECLARE made record;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() AND c.relname OPERATOR(pg_catalog.~~) 'moved\_%'
               AND (c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" OR c.relhasrules OR c.relhastriggers OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
                    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND t.typnamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace))) THEN
        RAISE EXCEPTION 'what is to be moved is no table any more';
    END IF;
    FOR made IN SELECT c.relname FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() AND c.relname OPERATOR(pg_catalog.~~) 'moved\_%' LOOP
        EXECUTE pg_catalog.format('ALTER TABLE pg_temp.%I OWNER TO CURRENT_USER', made.relname);
    END LOOP;
    -- At COMMIT these would run with the rights of a superuser.
    FOR made IN SELECT t.tgname, t.tgrelid::pg_catalog.regclass AS table_name FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
        JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) p.proowner WHERE t.tgdeferrable AND NOT t.tgisinternal AND NOT r.rolsuper
          AND NOT (p.proname OPERATOR(pg_catalog.=) 'stamp_pending' AND t.tgrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('session_guard.pending')) LOOP
        RAISE EXCEPTION 'trigger % of table % may be deferred, and would run with the rights of a superuser', made.tgname, made.table_name
            USING HINT = 'If its function is trusted, give it to a superuser until the database is moved.';
    END LOOP;
END $do$;
