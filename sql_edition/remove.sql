-- Removes the SQL edition of pg_session_guard, with all epochs: run as its owner. The triggers on guarded and watched
-- tables go with it, which takes an exclusive lock on each. It calls nothing that the owner may have put in the schema.
BEGIN;
SET LOCAL client_min_messages = warning;
DO $do$
DECLARE made record;
BEGIN
    FOR made IN SELECT p.oid::pg_catalog.regprocedure AS function FROM pg_catalog.pg_proc AS p
        WHERE p.proowner OPERATOR(pg_catalog.=) (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard') AND p.prosecdef
          AND p.prosrc OPERATOR(pg_catalog.~~) '%session\_guard.%' AND p.proname OPERATOR(pg_catalog.=) ANY (ARRAY['session_valid', 'session_verdict', 'session_start', 'token_valid'])
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s', made.function);
    END LOOP;
END $do$;
DROP SCHEMA session_guard CASCADE;
COMMIT;
