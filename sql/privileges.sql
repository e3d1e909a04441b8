-- Nothing for PUBLIC, and nothing by default privileges of others: what anybody but the objects' owner was
-- granted is taken back. Then whoever owns the database is granted what dumping takes, and EXECUTE to grant on.
-- So is the extension's owner, by its name if it is another role: what it grants on would be lost with DROP OWNED,
-- and where a superuser restores a dump and so owns the extension. By its name it is granted what administration
-- and restoring a dump take (INSERT: a row that is there cannot be replaced by it): who owns the database later
-- does not own the extension.
DO $do$
DECLARE
    granted record;
    owner CONSTANT pg_catalog.text := (
        SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.extowner)) FROM pg_catalog.pg_extension AS e
        WHERE e.extname OPERATOR(pg_catalog.=) 'pg_session_guard');
    granting CONSTANT pg_catalog.text := (
        SELECT CASE WHEN pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.datdba)) OPERATOR(pg_catalog.=) owner
                    THEN 'pg_database_owner' ELSE pg_catalog.format('pg_database_owner, %s', owner) END
        FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database());
BEGIN
    FOR granted IN
        SELECT pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', o.kind, o.name,
                   CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END) AS statement
        FROM (
            SELECT 'TABLE' AS kind, c.oid::pg_catalog.regclass::pg_catalog.text AS name, c.relowner AS owner,
                   coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
            FROM pg_catalog.pg_class AS c
            WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'S']::pg_catalog."char"[])
              AND c.relnamespace OPERATOR(pg_catalog.=) 'session_guard'::pg_catalog.regnamespace
            UNION ALL
            SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner,
                   coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p
            WHERE p.probin OPERATOR(pg_catalog.=) 'MODULE_PATHNAME'
               OR p.pronamespace OPERATOR(pg_catalog.=) 'session_guard'::pg_catalog.regnamespace
            UNION ALL
            SELECT 'SCHEMA', 'session_guard', n.nspowner,
                   coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
            FROM pg_catalog.pg_namespace AS n
            WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard'
        ) AS o
        CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS a
        WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
        GROUP BY o.kind, o.name, a.grantee
    LOOP
        EXECUTE granted.statement;
    END LOOP;

    FOR granted IN
        SELECT pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s WITH GRANT OPTION',
                   p.oid::pg_catalog.regprocedure, granting) AS statement
        FROM pg_catalog.pg_proc AS p
        WHERE (p.probin OPERATOR(pg_catalog.=) 'MODULE_PATHNAME'
               OR p.pronamespace OPERATOR(pg_catalog.=) 'session_guard'::pg_catalog.regnamespace)
          AND p.proname OPERATOR(pg_catalog.<>) ALL (ARRAY['stamp_pending', 'guard_changed', 'epoch_changed', 'apply_replicated'])
        UNION ALL
        SELECT pg_catalog.format(g.statement, g.grantees)
        FROM (VALUES
            ('GRANT USAGE ON SCHEMA session_guard TO %s WITH GRANT OPTION', granting),
            ('GRANT SELECT ON ALL TABLES IN SCHEMA session_guard TO %s WITH GRANT OPTION', granting),
            ('GRANT SELECT ON ALL SEQUENCES IN SCHEMA session_guard TO %s', granting),
            ('GRANT INSERT ON ALL TABLES IN SCHEMA session_guard TO %s', owner),
            ('REVOKE INSERT ON session_guard.trigger_state FROM %s', owner),
            ('GRANT DELETE ON session_guard.guard, session_guard.watch, session_guard.store TO %s', owner),
            ('GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA session_guard TO %s', owner)) AS g (statement, grantees)
    LOOP
        EXECUTE granted.statement;
    END LOOP;
END $do$;

SELECT session_guard.acknowledge_timeline();

CREATE FUNCTION session_guard.attach_ab_user() RETURNS void
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'attach_ab_user_wrapper';
SELECT session_guard.attach_ab_user();
DROP FUNCTION session_guard.attach_ab_user();
