
-- Nothing for PUBLIC, and nothing by default privileges of others: what anybody but the owner was granted is taken back.
-- In an update, what administrators have granted stays.
DO $do$
DECLARE granted record; is_new CONSTANT boolean := NOT EXISTS (SELECT FROM session_guard.trigger_state WHERE relation OPERATOR(pg_catalog.=) 'installed');
BEGIN
    FOR granted IN
        SELECT pg_catalog.format('REVOKE ALL ON %s %s FROM %s', o.kind, o.name,
                   CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END) AS statement
        FROM (
            SELECT 'TABLE' AS kind, c.oid::pg_catalog.regclass::pg_catalog.text AS name, c.relowner AS owner, coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
            FROM pg_catalog.pg_class AS c
            WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'S']::pg_catalog."char"[]) AND c.relnamespace OPERATOR(pg_catalog.=) 'session_guard'::pg_catalog.regnamespace
            UNION ALL
            SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace OPERATOR(pg_catalog.=) 'session_guard'::pg_catalog.regnamespace
               OR p.pronamespace OPERATOR(pg_catalog.=) session_guard.app_schema() AND p.proowner OPERATOR(pg_catalog.=) session_guard.owner()
                  AND p.proname OPERATOR(pg_catalog.=) ANY (ARRAY['session_valid', 'session_verdict', 'session_start', 'token_valid'])
            UNION ALL
            SELECT 'SCHEMA', 'session_guard', n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) FROM pg_catalog.pg_namespace AS n
            WHERE n.nspname OPERATOR(pg_catalog.=) 'session_guard'
        ) AS o
        CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS a
        WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner AND (is_new OR a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid)
        GROUP BY o.kind, o.name, a.grantee
    LOOP
        EXECUTE granted.statement;
    END LOOP;
    IF is_new THEN
        PERFORM session_guard.acknowledge_timeline();
    END IF;
    INSERT INTO session_guard.trigger_state (guard, relation, cluster, state) VALUES ('', 'installed', 0, '') ON CONFLICT DO NOTHING;
END $do$;
