-- Each configuration error has its SQLSTATE and its hint, and leaves nothing behind.
CREATE EXTENSION pg_session_guard;
CREATE FUNCTION mistake(statement text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    code := 'none';
    RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
\x on

-- Nothing guarded, and nothing to guard.
SELECT * FROM mistake('SELECT session_valid(1, now())');
SELECT * FROM mistake('SELECT session_start(1)');
SELECT * FROM mistake('SELECT session_guard.attach(NULL)');
SELECT * FROM mistake('SELECT session_valid(NULL::regclass, 1, now())');
SELECT * FROM mistake('SELECT session_guard.attach(''nowhere'')');
SELECT * FROM mistake('SELECT session_guard.attach(4000000000::oid)');

-- Nothing guarded, but something to guard.
CREATE TABLE members (id serial PRIMARY KEY, name text, enabled boolean, deleted boolean);
SELECT * FROM mistake('SELECT session_valid(1, now())');

-- What cannot be guarded.
CREATE VIEW a_view AS SELECT * FROM members;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM members;
CREATE TABLE a_partitioned (id int, active boolean, PRIMARY KEY (id, active)) PARTITION BY LIST (active);
CREATE TABLE a_partition PARTITION OF a_partitioned DEFAULT;
CREATE TEMP TABLE a_temporary (id int PRIMARY KEY, active boolean);
CREATE UNLOGGED TABLE an_unlogged (id int PRIMARY KEY, active boolean);
SELECT r AS relation, m.code, regexp_replace(m.message, 'pg_temp_\d+', 'pg_temp') AS message, m.detail, m.hint FROM unnest(ARRAY['a_view', 'a_matview', 'members_id_seq', 'members_pkey', 'pg_class', 'a_partitioned', 'a_partition', 'a_temporary', 'an_unlogged']) AS r,
    mistake(format('SELECT session_guard.attach(%L)', r)) AS m;

-- Columns.
CREATE TABLE users (id int, active int, flag boolean, tags text[], amount numeric PRIMARY KEY, part int);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'uid')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'ctid', 'flag')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'enabled')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'active')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'amount', 'flag')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'tags', 'flag')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'flag')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'flag', 'True')$$);
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'flag', revoke_on => '{nothing}')$$);
-- Indexes that do not make an id unique.
CREATE UNIQUE INDEX ON users (part) WHERE flag;
CREATE UNIQUE INDEX ON users ((part + 1));
ALTER TABLE users ADD UNIQUE (part) DEFERRABLE;
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'part', 'flag')$$);

-- Nothing is left behind.
SELECT count(*) FROM session_guard.guard;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'session\_guard%' AND tgrelid::regclass::text NOT LIKE 'session\_guard.%';

-- The statement of a hint repairs it when it is run as it stands.
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake($$SELECT session_guard.attach('users', 'id', 'flag')$$) \gset
:statement
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'id', 'flag')$$);
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake($$SELECT session_guard.attach('an_unlogged')$$) \gset
:statement
SELECT * FROM mistake($$SELECT session_guard.attach('an_unlogged')$$);
SELECT * FROM mistake('SELECT session_valid(''members'', 1, now())');
SELECT session_guard.attach('members', active_column => 'enabled');
SELECT * FROM mistake('SELECT session_valid(''members'', 1, now())');

-- Attached already, by another id.
ALTER TABLE users ADD uid uuid UNIQUE;
SELECT * FROM mistake($$SELECT session_guard.attach('users', 'uid', 'flag')$$);
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake($$SELECT session_guard.attach('users', 'uid', 'flag')$$) \gset
:statement
SELECT id_column FROM session_guard.guard WHERE name = 'public.users';

-- Several guards, and no default.
UPDATE session_guard.guard SET is_default = false;
SELECT * FROM mistake('SELECT session_valid(1, now())');
SELECT substring(hint FROM 'for example: (.*)$') AS statement FROM mistake('SELECT session_valid(1, now())') \gset
:statement
SELECT code FROM mistake('SELECT session_valid(1, now())');

-- Not guarded.
SELECT * FROM mistake('SELECT session_guard.detach(''a_view'')');
SELECT * FROM mistake('SELECT session_guard.reconcile(''a_partition'')');
SELECT * FROM mistake('SELECT session_guard.detach(NULL)');

-- A column that is gone: nobody gets in, the app's own writes go on.
INSERT INTO an_unlogged VALUES (1, true);
ALTER TABLE an_unlogged ADD other text;
ALTER TABLE an_unlogged DROP active CASCADE;
SELECT code, message, detail, regexp_replace(hint, '\d+', 'N') AS hint FROM mistake('SELECT session_valid(''an_unlogged'', 1, now())');
SELECT * FROM mistake('SELECT session_start(''an_unlogged'', 1)');
INSERT INTO an_unlogged VALUES (2);
UPDATE an_unlogged SET id = 3 WHERE id = 1;
DELETE FROM an_unlogged;
SELECT check_name, ok, detail, remedy FROM session_guard.health() WHERE guard = 'public.an_unlogged';
ALTER TABLE an_unlogged ADD enabled boolean;
SELECT session_guard.attach('public.an_unlogged', active_column => 'enabled');
SELECT code FROM mistake('SELECT session_valid(''an_unlogged'', 1, now())');

-- A table that is gone, and one that came back under its name.
CREATE TABLE gone (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('gone', is_default => true);
SELECT 'gone'::regclass::oid AS gone \gset
DROP TABLE gone;
SELECT code, replace(message, :'gone', 'N') AS message, detail, hint FROM mistake('SELECT session_valid(' || :gone || '::regclass, 1, now())');
SELECT * FROM mistake('SELECT session_valid(1, now())');
CREATE TABLE gone (id int PRIMARY KEY, active boolean);
CREATE ROLE regress_stranger;
ALTER TABLE gone OWNER TO regress_stranger;
SELECT * FROM mistake('SELECT session_valid(1, now())');
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake('SELECT session_valid(1, now())') \gset
:statement
SELECT code FROM mistake('SELECT session_valid(1, now())');
DROP TABLE gone;
-- It may be restored yet: nothing that is to be run as it stands deletes the row.
SELECT code, hint FROM mistake('SELECT session_valid(1, now())');
DELETE FROM session_guard.guard WHERE name = 'public.gone';
SELECT code FROM mistake('SELECT session_valid(1, now())');
UPDATE session_guard.guard SET is_default = (name = 'public.users');
DROP OWNED BY regress_stranger;
DROP ROLE regress_stranger;

-- A row that was written by hand and names no table guards none.
CREATE TABLE innocent (id int PRIMARY KEY, active boolean);
INSERT INTO innocent VALUES (1, true);
INSERT INTO session_guard.guard VALUES ('public.innocent', 'public', 'lost', current_user, 'id', 'active');
SELECT code, message FROM mistake('SELECT session_valid(''innocent'', 1, now())');
DELETE FROM session_guard.guard WHERE name = 'public.innocent';

-- The stamping function is for the triggers that attach makes.
CREATE TRIGGER mine BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION session_guard.stamp();
INSERT INTO users (id, amount) VALUES (1, 1);
SELECT * FROM mistake('UPDATE users SET amount = 2');
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake('UPDATE users SET amount = 2') \gset
:statement
SELECT code FROM mistake('UPDATE users SET amount = 2');
SELECT * FROM mistake('SELECT session_guard.stamp()');
-- On a table that is not guarded it warns, once, and stamps nothing.
CREATE TRIGGER mine AFTER UPDATE ON a_partition FOR EACH ROW EXECUTE FUNCTION session_guard.stamp();
INSERT INTO a_partition VALUES (1, true), (2, true);
UPDATE a_partition SET active = false;

-- Triggers that cannot be made or dropped now.
CREATE TABLE busy (id int PRIMARY KEY, active boolean, boss int REFERENCES busy DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER session_guard_delete BEFORE DELETE ON busy FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM mistake('SELECT session_guard.attach(''busy'')');
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake('SELECT session_guard.attach(''busy'')') \gset
:statement
BEGIN;
INSERT INTO busy VALUES (1, true, 1);
SELECT * FROM mistake('SELECT session_guard.attach(''busy'')');
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake('SELECT session_guard.attach(''busy'')') \gset
:statement
SELECT code FROM mistake('SELECT session_guard.attach(''busy'')');
DECLARE reader CURSOR FOR SELECT * FROM busy;
SELECT * FROM mistake('SELECT session_guard.detach(''busy'')');
SELECT substring(hint FROM '(?:run|by): (.*)$') AS statement FROM mistake('SELECT session_guard.detach(''busy'')') \gset
:statement
SELECT code FROM mistake('SELECT session_guard.detach(''busy'')');
ROLLBACK;
-- Where tenants share ids, no unique index is proposed that must fail.
CREATE TABLE of_tenants (tenant_id int, id int, active boolean, PRIMARY KEY (tenant_id, id));
SELECT hint FROM mistake('SELECT session_guard.attach(''of_tenants'')');
CREATE TABLE of_some (tenant_id int, id int, active boolean);
CREATE UNIQUE INDEX ON of_some (tenant_id, id) WHERE active;
SELECT hint FROM mistake('SELECT session_guard.attach(''of_some'')');
DROP TABLE of_tenants, of_some;
-- CREATE EXTENSION reports the same error as a message, and goes on.
\x off
DROP EXTENSION pg_session_guard CASCADE;
ALTER TABLE busy RENAME TO ab_user;
CREATE TRIGGER session_guard_update AFTER UPDATE ON ab_user FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE EXTENSION pg_session_guard;
DROP TABLE ab_user;
DROP EXTENSION pg_session_guard;
DROP FUNCTION mistake;
DROP TABLE members, a_partitioned, a_temporary, an_unlogged, users, innocent CASCADE;
