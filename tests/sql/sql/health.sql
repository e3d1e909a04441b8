-- Each check of health() finds its problem, and the remedy it names repairs that when run as it stands.
CREATE EXTENSION pg_session_guard;
SELECT guard, check_name, ok, detail, remedy FROM session_guard.health();
CREATE TABLE accounts (id int UNIQUE, active boolean);
INSERT INTO accounts VALUES (1, true), (2, false);
SELECT session_guard.attach('accounts');
SELECT guard, check_name, ok, detail, remedy FROM session_guard.health();

-- Triggers that were tampered with, each in its way.
CREATE FUNCTION armed() RETURNS TABLE (ok boolean, detail text) LANGUAGE sql AS
    $$ SELECT ok, detail FROM session_guard.health() WHERE check_name = 'armed' $$;
ALTER TABLE accounts DISABLE TRIGGER session_guard_insert;
SELECT * FROM armed();
ALTER TABLE accounts ENABLE TRIGGER session_guard_insert;
SELECT * FROM armed();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_insert;
SELECT * FROM armed();
-- A gap that was closed again by hand is remembered.
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok;
DROP TRIGGER session_guard_truncate ON accounts;
SELECT * FROM armed();
DROP TRIGGER session_guard_update ON accounts;
CREATE TRIGGER session_guard_update AFTER UPDATE ON accounts FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION session_guard.stamp('public.accounts', 'true');
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_update;
SELECT * FROM armed();
-- All that is wrong, and not the first of it.
ALTER TABLE accounts DISABLE TRIGGER session_guard_insert, ENABLE REPLICA TRIGGER session_guard_delete;
SELECT * FROM armed();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_insert, ENABLE ALWAYS TRIGGER session_guard_delete;
DROP TRIGGER session_guard_update ON accounts;
CREATE TRIGGER session_guard_update AFTER UPDATE OF id ON accounts FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION session_guard.stamp('public.accounts', 'true');
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_update;
SELECT * FROM armed();
-- One that serves another guard.
DROP TRIGGER session_guard_insert ON accounts;
CREATE TRIGGER session_guard_insert AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION session_guard.stamp('public.others');
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_insert;
SELECT * FROM armed();
SELECT DISTINCT remedy FROM session_guard.health() WHERE check_name = 'armed' AND NOT ok \gset
:remedy
SELECT * FROM armed();
-- What happened meanwhile nobody can know.
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
SELECT regexp_replace(:'remedy', ';$', ' > now() AS is_done;') AS remedy \gset
:remedy
SELECT count(*) FROM session_guard.health() WHERE NOT ok;

-- Without its index a lookup reads the table, and the strictest row counts.
ALTER TABLE accounts DROP CONSTRAINT accounts_id_key;
SELECT session_verdict(1, session_start(1));
INSERT INTO accounts VALUES (1, true);
SELECT session_verdict(1, session_start(1));
UPDATE accounts SET active = false WHERE ctid = (SELECT min(ctid) FROM accounts WHERE id = 1);
SELECT session_verdict(1, now()), session_start(1) IS NULL AS no_login;
DELETE FROM accounts WHERE id = 1 AND NOT active;
SELECT remedy FROM session_guard.health() WHERE check_name = 'unique_index' AND NOT ok \gset
:remedy
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'unique_index';

-- Disabled accounts without an epoch.
TRUNCATE session_guard.epoch;
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'disabled_accounts';
SELECT remedy FROM session_guard.health() WHERE check_name = 'disabled_accounts' \gset
:remedy
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'disabled_accounts';

-- The rights that the triggers stamp with.
CREATE ROLE regress_nobody;
ALTER FUNCTION session_guard.stamp() OWNER TO regress_nobody;
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'trigger_owner';
SELECT remedy FROM session_guard.health() WHERE check_name = 'trigger_owner' \gset
:remedy
ALTER FUNCTION session_guard.stamp() SECURITY INVOKER;
SELECT ok, remedy IS NOT NULL AS has_remedy FROM session_guard.health() WHERE check_name = 'trigger_owner';
:remedy
SELECT ok FROM session_guard.health() WHERE check_name = 'trigger_owner';

DROP EXTENSION pg_session_guard;
DROP FUNCTION armed;
DROP TABLE accounts;
DROP ROLE regress_nobody;
