-- What comes by logical replication.
CREATE FUNCTION session_guard.arrive() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'arrive_wrapper';
COMMENT ON FUNCTION session_guard.arrive() IS
    'called when rows of these tables come by logical replication: raises epochs, keeps events, and guards that are not here yet, and changes nothing else';
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['epoch', 'guard_epoch', 'token_epoch', 'guard', 'watch', 'timeline', 'event'] LOOP
        EXECUTE pg_catalog.format('
            CREATE TRIGGER session_guard_arrives BEFORE INSERT OR UPDATE OR DELETE ON session_guard.%1$I
                FOR EACH ROW EXECUTE FUNCTION session_guard.arrive();
            ALTER TABLE session_guard.%1$I ENABLE REPLICA TRIGGER session_guard_arrives;
            COMMENT ON TRIGGER session_guard_arrives ON session_guard.%1$I IS
                ''what comes by logical replication raises epochs, and changes nothing else that is there'';', relation);
    END LOOP;
END $$;
