-- A trigger that looks like the guard's and leaves changes out is not taken for it: health tells, and nobody gets in where
-- when_disarmed is refuse. One that compares other columns is an error, whose SQLSTATE stands for the verdict.
SET client_min_messages = error;
CREATE TABLE users (id int PRIMARY KEY, active boolean, password text, other boolean);
INSERT INTO users VALUES (1, true, 'x', true), (2, false, 'x', true);
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users', revoke_on => '{password}');
SELECT session_guard.configure(when_disarmed => 'refuse');
CREATE FUNCTION seen(guard_name text DEFAULT 'public.users') RETURNS TABLE (ok boolean, verdict text) LANGUAGE plpgsql AS $$
BEGIN
    SELECT bool_and(h.ok) INTO ok FROM session_guard.health() AS h WHERE check_name IN ('armed', 'table') AND guard = guard_name;
    verdict := session_verdict(guard_name::regclass, '1', now());
    RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
    verdict := SQLSTATE;
    RETURN NEXT;
END $$;

-- Each is made in the place of the guard's, seen, and undone.
CREATE FUNCTION with_trigger(name text, event text, rest text, kind text DEFAULT 'TRIGGER') RETURNS TABLE (ok boolean, verdict text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER %I ON users', name);
    EXECUTE format('CREATE %s %I %s ON users %s EXECUTE FUNCTION session_guard.stamp(%L, ''true'')', kind, name, event, rest, 'public.users');
    EXECUTE format('ALTER TABLE users ENABLE ALWAYS TRIGGER %I', name);
    SELECT * INTO ok, verdict FROM seen();
    RAISE 'undo' USING ERRCODE = 'TRIGR';
EXCEPTION WHEN SQLSTATE 'TRIGR' THEN
    RETURN NEXT;
END $$;
CREATE FUNCTION with_clause(clause text) RETURNS TABLE (ok boolean, verdict text) LANGUAGE sql AS
    $$ SELECT * FROM with_trigger('session_guard_update', 'AFTER UPDATE', 'FOR EACH ROW WHEN (' || clause || ')') $$;
CREATE FUNCTION same(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION never(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION never(boolean, boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION never(record, record) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN false; END';
CREATE DOMAIN truth AS boolean;
\set id 'OLD.id IS DISTINCT FROM NEW.id'
\set active '(OLD.active IS TRUE) IS DISTINCT FROM (NEW.active IS TRUE)'
\set password 'pg_catalog.record_image_ne(ROW(OLD.password), ROW(NEW.password))'

-- The guard's own clause, by whatever hand.
SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE tgname = 'session_guard_update' AND tgrelid = 'users'::regclass;
SELECT * FROM with_clause(:'id' || ' OR ' || :'active' || ' OR ' || :'password');
SELECT * FROM with_clause('((' || :'id' || ')) OR (' || :'active' || ') OR record_image_ne((ROW(OLD.password)), ROW((NEW.password)))');

-- Others.
SELECT clause, seen.* FROM unnest(ARRAY[
    -- constants
    'false', 'true', 'NULL',
    -- a part that decides alone
    '(' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ') AND false',
    '(' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ') AND OLD.id > 0',
    :'id' || ' AND ' || :'active' || ' AND ' || :'password',
    'NOT (' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ')',
    'CASE WHEN false THEN ' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ' END',
    -- an arm that is missing, twice, one too many, or in another place
    :'id' || ' OR ' || :'active', :'id' || ' OR ' || :'password', :'active' || ' OR ' || :'password',
    :'id' || ' OR ' || :'id' || ' OR ' || :'password',
    :'active' || ' OR ' || :'id' || ' OR ' || :'password',
    :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ' OR OLD.other IS DISTINCT FROM NEW.other',
    :'id' || ' OR (' || :'active' || ' OR ' || :'password' || ' AND false)',
    -- an arm that never differs
    :'id' || ' OR (OLD.active AND false) IS DISTINCT FROM (NEW.active AND false) OR ' || :'password',
    :'id' || ' OR (OLD.active IS TRUE) IS DISTINCT FROM (OLD.active IS TRUE) OR ' || :'password',
    :'id' || ' OR (NEW.active IS TRUE) IS DISTINCT FROM (NEW.active IS TRUE) OR ' || :'password',
    :'id' || ' OR (OLD.active IS NULL) IS DISTINCT FROM (NEW.active IS NULL) OR ' || :'password',
    :'id' || ' OR (OLD.active IS UNKNOWN) IS DISTINCT FROM (NEW.active IS UNKNOWN) OR ' || :'password',
    :'id' || ' OR (OLD.active IS TRUE) IS DISTINCT FROM (NEW.active IS NOT FALSE) OR ' || :'password',
    :'id' || ' OR (OLD.active IS TRUE) IS NOT DISTINCT FROM (NEW.active IS TRUE) OR ' || :'password',
    :'id' || ' OR (OLD.other IS TRUE) IS DISTINCT FROM (NEW.other IS TRUE) OR ' || :'password',
    :'id' || ' OR (OLD.active IS TRUE) IS DISTINCT FROM (NEW.other IS TRUE) OR ' || :'password',
    :'id' || ' OR COALESCE(OLD.active, true) IS DISTINCT FROM COALESCE(NEW.active, true) OR ' || :'password',
    :'id' || ' OR OLD.active <> NEW.active OR ' || :'password',
    :'id' || ' OR (OLD.active::truth IS TRUE) IS DISTINCT FROM (NEW.active::truth IS TRUE) OR ' || :'password',
    :'id' || ' OR ((OLD.active IS TRUE) AND true) IS DISTINCT FROM (NEW.active IS TRUE) OR ' || :'password',
    '(OLD.id * 0) IS DISTINCT FROM (NEW.id * 0) OR ' || :'active' || ' OR ' || :'password',
    'OLD.id::bigint IS DISTINCT FROM NEW.id::bigint OR ' || :'active' || ' OR ' || :'password',
    'OLD.id <> NEW.id OR ' || :'active' || ' OR ' || :'password',
    -- a column that is compared otherwise
    :'id' || ' OR ' || :'active' || ' OR OLD.password IS DISTINCT FROM NEW.password',
    :'id' || ' OR ' || :'active' || ' OR (OLD.password COLLATE "C") IS DISTINCT FROM (NEW.password COLLATE "C")',
    :'id' || ' OR ' || :'active' || ' OR record_image_eq(ROW(OLD.password), ROW(NEW.password))',
    :'id' || ' OR ' || :'active' || ' OR record_ne(ROW(OLD.password), ROW(NEW.password))',
    :'id' || ' OR ' || :'active' || ' OR never(ROW(OLD.password), ROW(NEW.password))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(OLD.password), ROW(OLD.password))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(OLD.other), ROW(NEW.other))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(left(OLD.password, 0)), ROW(left(NEW.password, 0)))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(same(OLD.password)), ROW(same(NEW.password)))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(OLD.password::bpchar), ROW(NEW.password::bpchar))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(ROW(OLD.password, 1), ROW(NEW.password, 1))',
    :'id' || ' OR ' || :'active' || ' OR record_image_ne(OLD, NEW)'
]) WITH ORDINALITY AS c(clause, n), with_clause(clause) AS seen ORDER BY n;
-- The guard's is there again.
SELECT * FROM seen();

-- An equality of somebody's own, which IS DISTINCT FROM finds first.
CREATE SCHEMA m;
CREATE OPERATOR m.= (LEFTARG = int, RIGHTARG = int, FUNCTION = never);
CREATE OPERATOR m.= (LEFTARG = text, RIGHTARG = text, FUNCTION = never);
CREATE OPERATOR m.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = never);
CREATE FUNCTION with_own_equality() RETURNS TABLE (ok boolean, verdict text) LANGUAGE plpgsql SET search_path = m, public, pg_catalog AS $$
BEGIN
    DROP TRIGGER session_guard_update ON users;
    CREATE TRIGGER session_guard_update AFTER UPDATE ON users FOR EACH ROW
        WHEN (OLD.id IS DISTINCT FROM NEW.id OR (OLD.active IS TRUE) IS DISTINCT FROM (NEW.active IS TRUE)
              OR record_image_ne(ROW(OLD.password), ROW(NEW.password)))
        EXECUTE FUNCTION session_guard.stamp('public.users', 'true');
    ALTER TABLE users ENABLE ALWAYS TRIGGER session_guard_update;
    SELECT * INTO ok, verdict FROM seen();
    RETURN NEXT;
END $$;
BEGIN;
SELECT * FROM with_own_equality();
UPDATE users SET active = false WHERE id = 1;
SELECT count(*) FROM session_guard.epoch WHERE user_id = '1';
ROLLBACK;
-- One's own equality in the path does not keep attach from making the guard's, either.
BEGIN;
SET LOCAL search_path = m, public, pg_catalog;
DROP TRIGGER session_guard_update ON users;
SELECT session_guard.attach('users');
SET LOCAL search_path = public, pg_catalog;
SELECT * FROM seen();
ROLLBACK;

-- Triggers of the right name that fire otherwise.
SELECT name, event, rest, seen.* FROM (VALUES
    ('session_guard_update', 'AFTER UPDATE', 'FOR EACH ROW', 'TRIGGER'),
    ('session_guard_update', 'AFTER UPDATE OF id', 'FOR EACH ROW WHEN (' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ')', 'TRIGGER'),
    ('session_guard_update', 'BEFORE UPDATE', 'FOR EACH ROW WHEN (' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ')', 'TRIGGER'),
    ('session_guard_update', 'AFTER UPDATE', 'FOR EACH STATEMENT', 'TRIGGER'),
    ('session_guard_update', 'AFTER UPDATE', 'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (' || :'id' || ' OR ' || :'active' || ' OR ' || :'password' || ')', 'CONSTRAINT TRIGGER'),
    ('session_guard_insert', 'AFTER INSERT', 'FOR EACH ROW WHEN (NEW.active)', 'TRIGGER'),
    ('session_guard_insert', 'AFTER UPDATE', 'FOR EACH ROW', 'TRIGGER'),
    ('session_guard_delete', 'AFTER DELETE', 'FOR EACH ROW WHEN (OLD.id > 1)', 'TRIGGER'),
    ('session_guard_delete', 'AFTER DELETE', 'FOR EACH STATEMENT', 'TRIGGER'),
    ('session_guard_truncate', 'BEFORE TRUNCATE', 'FOR EACH STATEMENT', 'TRIGGER'),
    ('session_guard_insert', 'AFTER INSERT', 'FOR EACH ROW', 'TRIGGER'),
    ('session_guard_delete', 'AFTER DELETE', 'FOR EACH ROW', 'TRIGGER'),
    ('session_guard_truncate', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', 'TRIGGER')) AS t(name, event, rest, kind),
    with_trigger(name, event, rest, kind) AS seen;

-- Other ways to read the status, other types of ids.
CREATE TABLE by_name (login varchar(20) PRIMARY KEY, deleted_at timestamptz);
INSERT INTO by_name VALUES ('1', NULL);
SELECT session_guard.attach('by_name', 'login', 'deleted_at', 'null', is_default => false);
SELECT * FROM seen('public.by_name');
CREATE FUNCTION with_clause_by_name(clause text) RETURNS TABLE (ok boolean, verdict text) LANGUAGE plpgsql AS $$
BEGIN
    DROP TRIGGER session_guard_update ON by_name;
    EXECUTE format('CREATE TRIGGER session_guard_update AFTER UPDATE ON by_name FOR EACH ROW WHEN (%s) EXECUTE FUNCTION session_guard.stamp(%L, ''null'')', clause, 'public.by_name');
    ALTER TABLE by_name ENABLE ALWAYS TRIGGER session_guard_update;
    SELECT * INTO ok, verdict FROM seen('public.by_name');
    RAISE 'undo' USING ERRCODE = 'TRIGR';
EXCEPTION WHEN SQLSTATE 'TRIGR' THEN
    RETURN NEXT;
END $$;
SELECT clause, seen.* FROM unnest(ARRAY[
    'OLD.login IS DISTINCT FROM NEW.login OR (OLD.deleted_at IS NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL)',
    'OLD.login IS DISTINCT FROM NEW.login OR (OLD.deleted_at IS NOT NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL)',
    'OLD.login IS DISTINCT FROM NEW.login OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at',
    'OLD.login IS DISTINCT FROM NEW.login OR (OLD.login IS NULL) IS DISTINCT FROM (NEW.login IS NULL)',
    'OLD.login::char(1) IS DISTINCT FROM NEW.login::char(1) OR (OLD.deleted_at IS NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL)',
    'lower(OLD.login) IS DISTINCT FROM lower(NEW.login) OR (OLD.deleted_at IS NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL)'
]) WITH ORDINALITY AS c(clause, n), with_clause_by_name(clause) AS seen ORDER BY n;

-- Watched tables likewise.
CREATE TABLE role (user_id int, name text);
SELECT session_guard.watch('role', 'user_id', users => 'users');
CREATE FUNCTION with_watch_clause(clause text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE is_ok boolean;
BEGIN
    DROP TRIGGER session_guard_related_update ON role;
    EXECUTE format('CREATE TRIGGER session_guard_related_update AFTER UPDATE ON role FOR EACH ROW WHEN (%s) EXECUTE FUNCTION session_guard.stamp_related(%L, %L)', clause, 'public.users', 'public.role');
    ALTER TABLE role ENABLE ALWAYS TRIGGER session_guard_related_update;
    SELECT bool_and(ok) INTO is_ok FROM session_guard.health() WHERE check_name = 'watch';
    RAISE 'undo' USING ERRCODE = 'TRIGR';
EXCEPTION WHEN SQLSTATE 'TRIGR' THEN
    RETURN is_ok;
END $$;
SELECT clause, with_watch_clause(clause) AS ok FROM unnest(ARRAY[
    'OLD.user_id IS DISTINCT FROM NEW.user_id OR record_image_ne(OLD.*, NEW.*)',
    'OLD.user_id IS DISTINCT FROM NEW.user_id OR record_image_ne(OLD, NEW)',
    'OLD.user_id IS DISTINCT FROM NEW.user_id',
    'OLD.user_id IS DISTINCT FROM NEW.user_id OR record_image_ne(OLD.*, OLD.*)',
    'OLD.user_id IS DISTINCT FROM NEW.user_id OR record_image_ne(ROW(OLD.name), ROW(NEW.name))',
    'OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.* IS DISTINCT FROM NEW.*',
    'false'
]) AS clause;

-- All is as it was.
SELECT check_name, ok, detail FROM session_guard.health() WHERE NOT ok;
SELECT session_guard.configure(when_disarmed => 'live');

DROP EXTENSION pg_session_guard;
DROP TABLE users, by_name, role;
DROP FUNCTION seen, with_trigger, with_clause, with_clause_by_name, with_watch_clause, with_own_equality, same;
DROP SCHEMA m CASCADE;
DROP FUNCTION never(int, int), never(text, text), never(boolean, boolean);
DROP DOMAIN truth;
