
-- What CREATE EXTENSION does last: guards the one ab_user, or says how to attach. A NOTICE would not be seen there.
DO $do$
DECLARE candidates oid[]; stamped bigint; message text; hint text;
BEGIN
    candidates := ARRAY(SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE c.relname OPERATOR(pg_catalog.=) 'ab_user' AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
          AND c.relpersistence OPERATOR(pg_catalog.=) 'p' AND NOT n.nspname OPERATOR(pg_catalog.~~) 'pg\_%' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' ORDER BY n.nspname);
    IF pg_catalog.cardinality(candidates) OPERATOR(pg_catalog.=) 1 THEN
        IF NOT pg_catalog.pg_has_role((SELECT c.relowner FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) candidates[1]), 'USAGE')
           OR NOT session_guard.trusts(session_guard.owner(), (SELECT c.relowner FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) candidates[1])) THEN
            message := pg_catalog.format('table %s is not guarded: it belongs to another role', session_guard.shown(candidates[1]));
            RAISE INFO USING MESSAGE = message, HINT = session_guard.attach_hint(candidates[1]);
            RETURN;
        END IF;
        BEGIN
            stamped := session_guard.attach(candidates[1]::pg_catalog.regclass);
            RAISE INFO 'guarding table %; disabled accounts stamped: %', session_guard.shown(candidates[1]), stamped;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
            RAISE INFO USING MESSAGE = message, HINT = hint;
        END;
    ELSIF pg_catalog.cardinality(candidates) OPERATOR(pg_catalog.=) 0 THEN
        RAISE INFO USING MESSAGE = 'no table is guarded yet', HINT = session_guard.attach_hint(NULL);
    ELSE
        RAISE INFO USING MESSAGE = 'no table is guarded yet: there are several of the name ab_user', HINT = session_guard.attach_hint(candidates[1]);
    END IF;
END $do$;
