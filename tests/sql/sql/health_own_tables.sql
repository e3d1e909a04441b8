-- The triggers on the extension's own tables: each that is not as it was made is named, and is put back by the remedy. Tables of
-- others in the extension's schema need none.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE FUNCTION wrong() RETURNS TABLE (check_name text, detail text, remedy text) LANGUAGE sql AS
    'SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok AND check_name <> ''default_guard''';
CREATE TABLE session_guard.extra (id int);
SELECT * FROM wrong();
ALTER TABLE session_guard.epoch DISABLE TRIGGER session_guard_changed;
ALTER TABLE session_guard.policy DISABLE TRIGGER USER;
ALTER TABLE session_guard.timeline DISABLE TRIGGER USER;
DROP TRIGGER session_guard_changed ON session_guard.guard_epoch;
DROP TRIGGER session_guard_emptied ON session_guard.guard;
DROP TRIGGER session_guard_at_commit ON session_guard.pending;
CREATE CONSTRAINT TRIGGER session_guard_at_commit AFTER INSERT ON session_guard.pending DEFERRABLE FOR EACH ROW EXECUTE FUNCTION session_guard.stamp_pending();
CREATE TRIGGER session_guard_emptied AFTER TRUNCATE ON session_guard.guard EXECUTE FUNCTION session_guard.epoch_changed();
ALTER TABLE session_guard.guard ENABLE ALWAYS TRIGGER session_guard_emptied;
DROP TRIGGER session_guard_apply ON session_guard.watch;
CREATE TRIGGER session_guard_apply BEFORE INSERT ON session_guard.watch FOR EACH ROW WHEN (NEW.guard IS NULL) EXECUTE FUNCTION session_guard.apply_replicated();
SELECT * FROM wrong();
SELECT remedy FROM wrong() \gexec
SELECT * FROM wrong();
SELECT tgrelid::regclass, tgname, tgtype, tgenabled FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'session_guard'::regnamespace) AND NOT tgisinternal
    AND (tgenabled <> 'A' OR tgrelid = 'session_guard.extra'::regclass);
-- Of the timeline alone: epochs are cached all the same.
ALTER TABLE session_guard.timeline DISABLE TRIGGER session_guard_changed;
SELECT * FROM wrong();
SELECT remedy FROM wrong() \gexec
SELECT * FROM wrong();
-- One that a crash would empty.
ALTER TABLE session_guard.extra SET UNLOGGED;
ALTER TABLE session_guard.epoch SET UNLOGGED;
ALTER TABLE session_guard.token_epoch SET UNLOGGED;
SELECT * FROM wrong();
SELECT remedy FROM wrong() \gexec
SELECT * FROM wrong();
DROP TABLE session_guard.extra;
DROP FUNCTION wrong;
DROP EXTENSION pg_session_guard;
