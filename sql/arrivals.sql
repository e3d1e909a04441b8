-- What comes by logical replication.
CREATE FUNCTION session_guard.arrive() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'arrive_wrapper';
COMMENT ON FUNCTION session_guard.arrive() IS
    'called when a row of these tables comes by logical replication: an epoch that is there rises, a row that is there is not written twice, and a timeline not at all';
DO $$
DECLARE
    arrives record;
BEGIN
    FOR arrives IN
        SELECT * FROM (VALUES
            ('epoch', 'INSERT OR UPDATE'), ('guard_epoch', 'INSERT OR UPDATE'), ('token_epoch', 'INSERT OR UPDATE'),
            ('guard', 'INSERT'), ('watch', 'INSERT'), ('timeline', 'INSERT'), ('event', 'INSERT')) AS a (relation, operation)
    LOOP
        EXECUTE pg_catalog.format('
            CREATE TRIGGER session_guard_arrives BEFORE %2$s ON session_guard.%1$I
                FOR EACH ROW EXECUTE FUNCTION session_guard.arrive();
            ALTER TABLE session_guard.%1$I ENABLE REPLICA TRIGGER session_guard_arrives;
            COMMENT ON TRIGGER session_guard_arrives ON session_guard.%1$I IS ''what comes by logical replication is merged with what is there'';',
            arrives.relation, arrives.operation);
    END LOOP;
END $$;
