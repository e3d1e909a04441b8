-- A trigger, constraint, index or policy that a superuser adds to the extension's own tables takes part in every stamp.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users');

-- A trigger, which sees each event.
CREATE TABLE forwarded (user_id text, reason text);
CREATE FUNCTION forward() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO public.forwarded VALUES (NEW.user_id, NEW.reason); RETURN NULL; END $$;
CREATE TRIGGER forward AFTER INSERT ON session_guard.event FOR EACH ROW EXECUTE FUNCTION forward();
UPDATE users SET active = false WHERE id IN (1, 2);
SELECT * FROM forwarded ORDER BY user_id;
SELECT count(*) FROM session_guard.event;
DROP TRIGGER forward ON session_guard.event;

-- An index, plain or of an expression with a condition.
CREATE INDEX by_time ON session_guard.epoch (epoch);
CREATE INDEX by_reason ON session_guard.epoch (upper(reason)) WHERE reason <> 'deleted';
UPDATE users SET active = false WHERE id = 3;
DELETE FROM users WHERE id = 4;
SET enable_seqscan = off;
SELECT user_id FROM session_guard.epoch WHERE upper(reason) = 'DISABLED' AND reason <> 'deleted' ORDER BY user_id;
SELECT count(*) FROM session_guard.epoch WHERE epoch > '2026-01-01';
RESET enable_seqscan;
DROP INDEX session_guard.by_time, session_guard.by_reason;

-- A constraint.
ALTER TABLE session_guard.event ADD CONSTRAINT known CHECK (application_name <> 'unknown');
SET application_name = 'unknown';
\set VERBOSITY terse
UPDATE users SET active = false WHERE id = 5;
SELECT active FROM users WHERE id = 5;
RESET application_name;
ALTER TABLE session_guard.event DROP CONSTRAINT known;

-- Another access method: rows are written by statements, which call the tables' triggers, and not as a heap has them.
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
SET track_functions = 'all';
CREATE FUNCTION calls() RETURNS bigint LANGUAGE sql AS $$ SELECT coalesce(sum(pg_stat_get_xact_function_calls(oid)), 0)::bigint FROM pg_proc WHERE oid IN ('session_guard.epoch_changed()'::regprocedure, 'session_guard.apply_replicated()'::regprocedure) $$;
BEGIN;
SELECT session_guard.revoke_sessions(9) IS NOT NULL AS is_revoked;
SELECT calls();
ROLLBACK;
BEGIN;
ALTER TABLE session_guard.epoch SET ACCESS METHOD other;
ALTER TABLE session_guard.event SET ACCESS METHOD other;
SELECT detail, remedy FROM session_guard.health() WHERE check_name = 'own_tables';
SELECT calls() AS before \gset
SELECT session_guard.revoke_sessions(9) IS NOT NULL AS is_revoked;
SELECT calls() - :before AS calls;
SELECT remedy FROM session_guard.health() WHERE check_name = 'own_tables' \gset
:remedy
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'own_tables';
ROLLBACK;
RESET track_functions;
DROP FUNCTION calls;
DROP ACCESS METHOD other;

-- Without any of it: one statement that stamps users twice, the second time past the first.
UPDATE users SET id = id + 10 WHERE id > 5;
WITH off AS (UPDATE users SET active = false WHERE id = 16 RETURNING id)
INSERT INTO users SELECT id - 10, true FROM off;
SELECT user_id, reason, count(*) FROM session_guard.event WHERE user_id IN ('6', '16') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT user_id, reason FROM session_guard.epoch WHERE user_id IN ('6', '16') ORDER BY 1;

-- In a transaction that may not write.
BEGIN READ ONLY;
SELECT session_guard.revoke_sessions(17);
ROLLBACK;
SELECT count(*) FROM session_guard.epoch AS epoch
LEFT JOIN session_guard.event AS event USING (guard, user_id)
WHERE event.epoch IS NULL;
-- Under other names they stop none of the app's writes, and health() says which are missing.
CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION renamed(name text) RETURNS TABLE (writes text, checks text, wrong text) LANGUAGE plpgsql AS $$
DECLARE kind text := (SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END FROM pg_class WHERE oid = ('session_guard.' || name)::regclass);
BEGIN
    EXECUTE format('ALTER %s session_guard.%I RENAME TO elsewhere', kind, name);
    SELECT string_agg(DISTINCT outcome(statement), ' ') INTO writes FROM unnest(ARRAY['UPDATE users SET active = NOT active', 'DELETE FROM users WHERE id = 1', 'INSERT INTO users VALUES (1, true)']) AS statement;
    -- Nothing is known of the guard from before.
    ALTER TABLE users SET (fillfactor = 90);
    checks := outcome('SELECT session_valid(2, now())');
    SELECT string_agg(detail, ' ') INTO wrong FROM session_guard.health() WHERE check_name = 'own_tables';
    RETURN NEXT;
    EXECUTE format('ALTER %s session_guard.elsewhere RENAME TO %I', kind, name);
END $$;
SET client_min_messages = error;
SELECT name, of.* FROM (SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'session_guard'::regnamespace AND relkind IN ('r', 'S')) AS own, renamed(name) AS of ORDER BY name COLLATE "C";
RESET client_min_messages;
DROP FUNCTION outcome, renamed;

DROP EXTENSION pg_session_guard;
DROP TABLE users, forwarded;
DROP FUNCTION forward();
