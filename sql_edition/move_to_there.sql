-- What both moves end with.
INSERT INTO session_guard.guard SELECT m.* FROM pg_temp.moved_guard AS m
ON CONFLICT (name) DO NOTHING;
INSERT INTO session_guard.watch SELECT m.* FROM pg_temp.moved_watch AS m;
INSERT INTO session_guard.unwatched SELECT m.* FROM pg_temp.moved_unwatched AS m;
INSERT INTO session_guard.policy (set_at, set_by, future_login_tolerance, stamp_margin, when_disarmed, audit, notify, revocation_durability, max_standby_staleness, when_timeline_changed)
SELECT m.* FROM pg_temp.moved_policy AS m;
INSERT INTO session_guard.epoch SELECT m.* FROM pg_temp.moved_epoch AS m;
INSERT INTO session_guard.guard_epoch SELECT m.* FROM pg_temp.moved_guard_epoch AS m;
INSERT INTO session_guard.token_epoch SELECT m.* FROM pg_temp.moved_token_epoch AS m;
INSERT INTO session_guard.event SELECT m.* FROM pg_temp.moved_event AS m;
DO $do$
DECLARE moved record;
BEGIN
    FOR moved IN SELECT pg_catalog.format('%I.%I', m.schema_name, m.table_name)::pg_catalog.regclass AS users, m.is_default FROM pg_temp.moved_guard AS m
        WHERE m.detached_at IS NULL ORDER BY m.name LOOP
        PERFORM session_guard.attach(moved.users, is_default => moved.is_default);
    END LOOP;
    FOR moved IN SELECT pg_catalog.format('%I.%I', m.schema_name, m.table_name)::pg_catalog.regclass AS store, m.user_id_column, m.revoked_at_column,
            pg_catalog.format('%I.%I', g.schema_name, g.table_name)::pg_catalog.regclass AS users FROM pg_temp.moved_store AS m
        JOIN pg_temp.moved_guard AS g ON g.name OPERATOR(pg_catalog.=) m.guard AND g.detached_at IS NULL LOOP
        PERFORM session_guard.add_store(moved.store, moved.user_id_column, moved.revoked_at_column, moved.users);
    END LOOP;
    FOR moved IN SELECT DISTINCT m.role FROM pg_temp.moved_access AS m JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) m.role
        WHERE r.rolname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_database_owner', CURRENT_USER]) LOOP
        PERFORM session_guard.grant_access(moved.role::pg_catalog.regrole);
    END LOOP;
END $do$;
INSERT INTO session_guard.store_failure SELECT m.* FROM pg_temp.moved_store_failure AS m;
