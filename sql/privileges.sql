CREATE TRIGGER session_guard_changed
    AFTER INSERT OR UPDATE OR DELETE ON session_guard.guard
    FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_changed;
CREATE TRIGGER session_guard_emptied
    AFTER TRUNCATE ON session_guard.guard
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_emptied;
DO $$
DECLARE
    epochs text;
BEGIN
    FOREACH epochs IN ARRAY ARRAY['epoch', 'guard_epoch'] LOOP
        EXECUTE pg_catalog.format('
            CREATE TRIGGER session_guard_changed AFTER INSERT OR UPDATE OR DELETE ON session_guard.%1$I
                FOR EACH ROW EXECUTE FUNCTION session_guard.epoch_changed();
            ALTER TABLE session_guard.%1$I ENABLE ALWAYS TRIGGER session_guard_changed;
            CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION session_guard.epoch_changed();
            ALTER TABLE session_guard.%1$I ENABLE ALWAYS TRIGGER session_guard_emptied;
            COMMENT ON TRIGGER session_guard_changed ON session_guard.%1$I IS ''edits by hand count at once'';
            COMMENT ON TRIGGER session_guard_emptied ON session_guard.%1$I IS ''edits by hand count at once'';', epochs);
    END LOOP;
END $$;
CREATE TRIGGER session_guard_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON session_guard.timeline
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.timeline ENABLE ALWAYS TRIGGER session_guard_changed;
COMMENT ON TRIGGER session_guard_changed ON session_guard.timeline IS
    'edits by hand count at once';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA session_guard FROM PUBLIC;

-- Whoever creates the extension administers it, also where that is not a superuser. INSERT is what
-- restoring a dump takes: a row that is there cannot be replaced by it.
GRANT USAGE ON SCHEMA session_guard TO @extowner@ WITH GRANT OPTION;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO @extowner@ WITH GRANT OPTION;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA session_guard TO @extowner@;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA session_guard TO @extowner@;

COMMENT ON FUNCTION session_guard.attach(regclass, name, name, name[], boolean, interval) IS
    'guards a users table, and stamps the accounts that are disabled already; returns how many it newly stamped';
COMMENT ON FUNCTION session_guard.detach(regclass, boolean) IS
    'takes the triggers off a users table; its epochs stay, unless they are to be forgotten';
COMMENT ON FUNCTION session_guard.reconcile(regclass) IS
    're-arms a guard, or all, and stamps the accounts that were disabled meanwhile; returns how many';
COMMENT ON FUNCTION session_guard.revoke_all_sessions(regclass, text) IS
    'ends all sessions of a guard, of the default one if none is named; returns the epoch that logins must not predate from now on';
COMMENT ON FUNCTION session_guard.health() IS
    'what an operator wants to know of each guard; a remedy is a statement that mends what is not ok';
COMMENT ON FUNCTION session_guard.revoke_tokens(text, text, text) IS
    'ends the tokens of one subject, or without a subject all of the scope; returns the epoch that tokens must not predate from now on; NULL for no scope';
COMMENT ON FUNCTION session_guard.prune(interval) IS
    'removes epochs of users who are there no more, epochs of single tokens, and events, all older than this; returns how many; it must be longer than any session lives';
COMMENT ON FUNCTION session_guard.security_event(bigint) IS
    'an event as the claims of an OpenID CAEP session-revoked security event (RFC 8417); who signs it adds iss and aud; NULL: no such event, or one of an empty id';
COMMENT ON FUNCTION session_guard.acknowledge_timeline() IS
    'says that no stamp is missing in the server''s timeline: none was lost in a failover or a restore, or everybody has been put out since';
COMMENT ON FUNCTION session_guard.watch(regclass, name, name[], regclass) IS
    'has changes of a related table end the sessions of the user that the row names, of the default guard if none is named; takes ownership of the related table, and UPDATE on the users table';
COMMENT ON FUNCTION session_guard.unwatch(regclass) IS
    'lets changes of a related table end no sessions any more';
COMMENT ON FUNCTION session_guard.stamp_related() IS
    'called by the triggers of a related table: raises the epochs of the users that the rows name';
COMMENT ON FUNCTION session_guard.stamp() IS
    'called by the triggers of a guarded table: raises the epochs of the accounts that change';
COMMENT ON FUNCTION session_guard.guard_changed() IS
    'called when rows of session_guard.guard change: has every backend read them again, and asks for ownership of the table';
COMMENT ON FUNCTION session_guard.epoch_changed() IS
    'called when epochs change: has every backend forget those that it keeps';
COMMENT ON TRIGGER session_guard_changed ON session_guard.guard IS
    'edits by hand count at once, and take the rights that attach takes';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.guard IS
    'edits by hand count at once';

SELECT session_guard.acknowledge_timeline();
SELECT session_guard.attach_ab_user();
DROP FUNCTION session_guard.attach_ab_user();
