CREATE TRIGGER session_guard_changed
    AFTER INSERT OR UPDATE OR DELETE ON session_guard.guard
    FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_changed;
CREATE TRIGGER session_guard_emptied
    AFTER TRUNCATE ON session_guard.guard
    FOR EACH STATEMENT EXECUTE FUNCTION session_guard.guard_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_emptied;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA session_guard FROM PUBLIC;

REVOKE ALL ON FUNCTION
    @extschema@.session_valid(bigint, timestamptz),
    @extschema@.session_valid(uuid, timestamptz),
    @extschema@.session_valid(text, timestamptz),
    @extschema@.session_valid(bigint, timestamp),
    @extschema@.session_valid(uuid, timestamp),
    @extschema@.session_valid(text, timestamp),
    @extschema@.session_valid(regclass, bigint, timestamptz),
    @extschema@.session_valid(regclass, uuid, timestamptz),
    @extschema@.session_valid(regclass, text, timestamptz),
    @extschema@.session_valid(regclass, bigint, timestamp),
    @extschema@.session_valid(regclass, uuid, timestamp),
    @extschema@.session_valid(regclass, text, timestamp),
    @extschema@.session_verdict(bigint, timestamptz),
    @extschema@.session_verdict(uuid, timestamptz),
    @extschema@.session_verdict(text, timestamptz),
    @extschema@.session_verdict(bigint, timestamp),
    @extschema@.session_verdict(uuid, timestamp),
    @extschema@.session_verdict(text, timestamp),
    @extschema@.session_verdict(regclass, bigint, timestamptz),
    @extschema@.session_verdict(regclass, uuid, timestamptz),
    @extschema@.session_verdict(regclass, text, timestamptz),
    @extschema@.session_verdict(regclass, bigint, timestamp),
    @extschema@.session_verdict(regclass, uuid, timestamp),
    @extschema@.session_verdict(regclass, text, timestamp),
    @extschema@.session_start(bigint),
    @extschema@.session_start(uuid),
    @extschema@.session_start(text),
    @extschema@.session_start(regclass, bigint),
    @extschema@.session_start(regclass, uuid),
    @extschema@.session_start(regclass, text)
FROM PUBLIC;

-- Whoever creates the extension administers it, also where that is not a superuser. INSERT is what
-- restoring a dump takes: a row that is there cannot be replaced by it.
GRANT USAGE ON SCHEMA session_guard TO @extowner@ WITH GRANT OPTION;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO @extowner@ WITH GRANT OPTION;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA session_guard TO @extowner@;
GRANT EXECUTE ON FUNCTION
    @extschema@.session_valid(bigint, timestamptz),
    @extschema@.session_valid(uuid, timestamptz),
    @extschema@.session_valid(text, timestamptz),
    @extschema@.session_valid(bigint, timestamp),
    @extschema@.session_valid(uuid, timestamp),
    @extschema@.session_valid(text, timestamp),
    @extschema@.session_valid(regclass, bigint, timestamptz),
    @extschema@.session_valid(regclass, uuid, timestamptz),
    @extschema@.session_valid(regclass, text, timestamptz),
    @extschema@.session_valid(regclass, bigint, timestamp),
    @extschema@.session_valid(regclass, uuid, timestamp),
    @extschema@.session_valid(regclass, text, timestamp),
    @extschema@.session_verdict(bigint, timestamptz),
    @extschema@.session_verdict(uuid, timestamptz),
    @extschema@.session_verdict(text, timestamptz),
    @extschema@.session_verdict(bigint, timestamp),
    @extschema@.session_verdict(uuid, timestamp),
    @extschema@.session_verdict(text, timestamp),
    @extschema@.session_verdict(regclass, bigint, timestamptz),
    @extschema@.session_verdict(regclass, uuid, timestamptz),
    @extschema@.session_verdict(regclass, text, timestamptz),
    @extschema@.session_verdict(regclass, bigint, timestamp),
    @extschema@.session_verdict(regclass, uuid, timestamp),
    @extschema@.session_verdict(regclass, text, timestamp),
    @extschema@.session_start(bigint),
    @extschema@.session_start(uuid),
    @extschema@.session_start(text),
    @extschema@.session_start(regclass, bigint),
    @extschema@.session_start(regclass, uuid),
    @extschema@.session_start(regclass, text)
TO @extowner@ WITH GRANT OPTION;

COMMENT ON FUNCTION @extschema@.session_valid(bigint, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(uuid, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(text, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(bigint, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_valid(uuid, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_valid(text, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the default guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, bigint, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, uuid, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, text, timestamptz) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, bigint, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, uuid, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_valid(regclass, text, timestamp) IS
    'whether a session of this user that logged in at this time still counts; of the named guard; answers true or false for all values; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(bigint, timestamptz) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(uuid, timestamptz) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(text, timestamptz) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(bigint, timestamp) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(uuid, timestamp) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(text, timestamp) IS
    'why a session counts or not, of the default guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, bigint, timestamptz) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, uuid, timestamptz) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, text, timestamptz) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, bigint, timestamp) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, uuid, timestamp) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_verdict(regclass, text, timestamp) IS
    'why a session counts or not, of the named guard: disarmed, unknown_user, disabled, revoked, login_in_future or valid; a naive time is UTC';
COMMENT ON FUNCTION @extschema@.session_start(bigint) IS
    'the login time to store with a new session of this user, of the default guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION @extschema@.session_start(uuid) IS
    'the login time to store with a new session of this user, of the default guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION @extschema@.session_start(text) IS
    'the login time to store with a new session of this user, of the default guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION @extschema@.session_start(regclass, bigint) IS
    'the login time to store with a new session of this user, of the named guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION @extschema@.session_start(regclass, uuid) IS
    'the login time to store with a new session of this user, of the named guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION @extschema@.session_start(regclass, text) IS
    'the login time to store with a new session of this user, of the named guard, NULL if the account may not log in; locks the user''s row until the transaction ends';
COMMENT ON FUNCTION session_guard.epoch_of(bigint) IS
    'the instant that this user''s logins must not predate, of the default guard; NULL: none';
COMMENT ON FUNCTION session_guard.epoch_of(uuid) IS
    'the instant that this user''s logins must not predate, of the default guard; NULL: none';
COMMENT ON FUNCTION session_guard.epoch_of(text) IS
    'the instant that this user''s logins must not predate, of the default guard; NULL: none';
COMMENT ON FUNCTION session_guard.epoch_of(regclass, bigint) IS
    'the instant that this user''s logins must not predate, of the named guard; NULL: none';
COMMENT ON FUNCTION session_guard.epoch_of(regclass, uuid) IS
    'the instant that this user''s logins must not predate, of the named guard; NULL: none';
COMMENT ON FUNCTION session_guard.epoch_of(regclass, text) IS
    'the instant that this user''s logins must not predate, of the named guard; NULL: none';
COMMENT ON FUNCTION session_guard.attach(regclass, name, name, name[], boolean) IS
    'guards a users table, and stamps the accounts that are disabled already; returns how many it newly stamped';
COMMENT ON FUNCTION session_guard.detach(regclass, boolean) IS
    'takes the triggers off a users table; its epochs stay, unless they are to be forgotten';
COMMENT ON FUNCTION session_guard.reconcile(regclass) IS
    're-arms a guard, or all, and stamps the accounts that were disabled meanwhile; returns how many';
COMMENT ON FUNCTION session_guard.revoke_all_sessions(regclass, text) IS
    'ends all sessions of a guard, of the default one if none is named; returns the epoch that logins must not predate from now on';
COMMENT ON FUNCTION session_guard.health() IS
    'what an operator wants to know of each guard; a remedy is a statement that mends what is not ok';
COMMENT ON FUNCTION session_guard.stamp() IS
    'called by the triggers of a guarded table: raises the epochs of the accounts that change';
COMMENT ON FUNCTION session_guard.guard_changed() IS
    'called when rows of session_guard.guard change: has every backend read them again, and asks for ownership of the table';
COMMENT ON TRIGGER session_guard_changed ON session_guard.guard IS
    'edits by hand count at once, and take the rights that attach takes';
COMMENT ON TRIGGER session_guard_emptied ON session_guard.guard IS
    'edits by hand count at once';

SELECT session_guard.attach_ab_user();
DROP FUNCTION session_guard.attach_ab_user();
