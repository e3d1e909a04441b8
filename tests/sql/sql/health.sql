-- Each check of health() finds its problem, and the remedy it names repairs that when run as it stands.
CREATE EXTENSION pg_session_guard;
SELECT guard, check_name, ok, detail, remedy FROM session_guard.health();
CREATE TABLE accounts (id int UNIQUE, active boolean);
INSERT INTO accounts VALUES (1, true), (2, false);
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
:remedy
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
DROP TRIGGER session_guard_truncate ON accounts;
SELECT * FROM armed();
DROP TRIGGER session_guard_update ON accounts;
CREATE TRIGGER session_guard_update AFTER UPDATE ON accounts FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION session_guard.stamp();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_update;
SELECT * FROM armed();
DROP TRIGGER session_guard_update ON accounts;
CREATE TRIGGER session_guard_update AFTER UPDATE OF id ON accounts FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION session_guard.stamp();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER session_guard_update;
SELECT * FROM armed();
SELECT remedy FROM session_guard.health() WHERE NOT ok \gset
:remedy
SELECT * FROM armed();

-- Without its index a lookup reads the table, and the strictest row counts.
ALTER TABLE accounts DROP CONSTRAINT accounts_id_key;
SELECT session_verdict(1, now());
INSERT INTO accounts VALUES (1, true);
SELECT session_verdict(1, now());
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
