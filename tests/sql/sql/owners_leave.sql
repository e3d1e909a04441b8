-- Whoever owns the extension, the users table or a watched one may leave by the manual's recipe (REASSIGN OWNED, DROP OWNED, DROP
-- ROLE), give a table away or be renamed: no session comes back, apps go on, and health() says what is lacking, with what repairs it.
SELECT current_database() AS home \gset
SET client_min_messages = warning;
CREATE ROLE regress_dba; CREATE ROLE regress_admin; CREATE ROLE regress_next; CREATE ROLE regress_alice; CREATE ROLE regress_bob;
CREATE ROLE regress_app; CREATE ROLE regress_by_hand; CREATE ROLE regress_super SUPERUSER;
-- In each database: the app's tables; what is wrong; and what runs each remedy as it stands, until there is none, and names its check.
\set tables 'CREATE TABLE users (id int PRIMARY KEY, active boolean); INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n; CREATE TABLE user_role (user_id int);'
\set repair 'CREATE FUNCTION repair() RETURNS SETOF text LANGUAGE plpgsql AS $$ DECLARE found record; BEGIN FOR round IN 1..9 LOOP SELECT h.check_name, h.remedy INTO found FROM session_guard.health() AS h WHERE NOT h.ok AND h.remedy IS NOT NULL LIMIT 1; EXIT WHEN found.remedy IS NULL; EXECUTE found.remedy; RETURN NEXT found.check_name; END LOOP; END $$;'
\set wrong 'SELECT guard, check_name, regexp_replace(regexp_replace(detail, ''it: .*?(\\. If|$)'', ''it: ...\\1''), ''(do not: [^,]*), .*'', ''\\1, ...'') AS detail FROM session_guard.health() WHERE NOT ok;'
-- Two apps: one that has been granted access, and one that a GRANT of the extension's owner lets in.
\set ask 'SET ROLE regress_app; SELECT session_verdict(1, :''login'') AS dead, session_verdict(2, :''login'') AS alive, session_verdict(2, session_start(2)) AS new_login; SET ROLE regress_by_hand; SELECT session_valid(1, :''login'') AS dead, session_valid(2, :''login'') AS alive; RESET ROLE;'
-- Stamps go on, also of the watched table.
\set stamped 'UPDATE users SET active = false WHERE id = 3; UPDATE users SET active = true WHERE id = 3; INSERT INTO user_role VALUES (4); SELECT session_verdict(3, :''login_of_3'') AS by_account, session_verdict(4, :''login_of_4'') AS by_role;'

-- The owner of a database, who has made the extension.
CREATE DATABASE regress_guard OWNER regress_dba;
\c regress_guard
SET client_min_messages = warning;
:repair
SET ROLE regress_dba;
CREATE EXTENSION pg_session_guard;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO regress_alice, regress_bob;
SET ROLE regress_alice;
:tables
RESET ROLE;
SELECT session_guard.attach('users'), session_guard.watch('user_role', 'user_id');
SELECT session_start(1) AS login \gset
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET active = true WHERE id = 1;
SET ROLE regress_dba;
SELECT session_guard.grant_access('regress_app');
GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO regress_by_hand;
RESET ROLE;
:ask
:wrong
REASSIGN OWNED BY regress_dba TO regress_next;
DROP OWNED BY regress_dba;
:ask
:wrong
SELECT * FROM repair();
:wrong
:ask
SELECT session_start(3) AS login_of_3, session_start(4) AS login_of_4 \gset
:stamped
-- The new owner administers.
SET ROLE regress_next;
SELECT session_guard.configure(stamp_margin => '1 s'), session_guard.configure(stamp_margin => '0');
SELECT session_guard.grant_access('regress_bob'), session_guard.revoke_access('regress_bob');
GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO regress_bob;
SELECT count(*) AS pruned FROM session_guard.prune('90 days', '90 days');
SELECT count(*) > 0 AS has_asked FROM session_guard.health();
SELECT count(*) > 0 AS has_read FROM session_guard.event;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION session_valid(int, timestamptz) FROM regress_bob CASCADE;
DROP ROLE regress_dba;

-- The users table's owner.
REASSIGN OWNED BY regress_alice TO regress_bob;
:ask
:wrong
SELECT session_start(3) AS login_of_3, session_start(4) AS login_of_4 \gset
:stamped
SELECT * FROM repair();
:wrong
SELECT table_owner FROM session_guard.guard UNION ALL SELECT table_owner FROM session_guard.watch;
DROP OWNED BY regress_alice;
:wrong
:ask
SET ROLE regress_next;
GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.reconcile, session_guard.watch TO regress_bob;
SET ROLE regress_bob;
SELECT session_verdict(1, :'login') AS dead, session_verdict(2, session_start(2)) AS new_login;
SELECT session_guard.attach('users'), session_guard.reconcile('users'), session_guard.watch('user_role', 'user_id');
RESET ROLE;
DROP ROLE regress_alice;
-- Given to another, and back.
CREATE ROLE regress_alice;
ALTER TABLE users OWNER TO regress_alice;
ALTER TABLE user_role OWNER TO regress_alice;
:ask
:wrong
SELECT * FROM repair();
:wrong
:ask
ALTER TABLE users OWNER TO regress_bob;
ALTER TABLE user_role OWNER TO regress_bob;
SELECT * FROM repair();
-- Renamed: the table's owner, the extension's, and an app.
ALTER ROLE regress_bob RENAME TO regress_robert;
ALTER ROLE regress_next RENAME TO regress_later;
ALTER ROLE regress_app RENAME TO regress_service;
ALTER ROLE regress_service RENAME TO regress_app;
:ask
:wrong
SELECT session_start(3) AS login_of_3, session_start(4) AS login_of_4 \gset
:stamped
SELECT * FROM repair();
:wrong
SELECT table_owner FROM session_guard.guard UNION ALL SELECT table_owner FROM session_guard.watch;
SET ROLE regress_robert;
SELECT session_guard.attach('users'), session_verdict(2, session_start(2)) AS new_login;
SET ROLE regress_later;
SELECT session_guard.configure(audit => true);
RESET ROLE;
-- Another gets the name that the table's owner had, and a table's: it is not taken for the one of before.
CREATE ROLE regress_bob;
ALTER ROLE regress_robert RENAME TO regress_alice_2;
CREATE ROLE regress_robert;
:wrong
:ask
SELECT * FROM repair();
:wrong
\c :home
SET client_min_messages = warning;
DROP DATABASE regress_guard;
DROP ROLE regress_later, regress_alice, regress_alice_2, regress_bob, regress_robert;
CREATE ROLE regress_alice; CREATE ROLE regress_bob; CREATE ROLE regress_next;

-- A role that owns the extension, but not the database.
CREATE DATABASE regress_guard;
GRANT CREATE ON DATABASE regress_guard TO regress_admin;
\c regress_guard
SET client_min_messages = warning;
:repair
GRANT CREATE ON SCHEMA public TO regress_alice;
SET ROLE regress_alice;
:tables
SET ROLE regress_admin;
CREATE EXTENSION pg_session_guard;
RESET ROLE;
SELECT session_guard.attach('users'), session_guard.watch('user_role', 'user_id');
SELECT session_start(1) AS login \gset
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET active = true WHERE id = 1;
SET ROLE regress_admin;
SELECT session_guard.grant_access('regress_app');
GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO regress_by_hand;
RESET ROLE;
REASSIGN OWNED BY regress_admin TO regress_next;
:ask
:wrong
DROP OWNED BY regress_admin;
:ask
:wrong
SELECT * FROM repair();
:wrong
:ask
SET ROLE regress_next;
SELECT session_guard.configure(audit => true), session_guard.grant_access('regress_by_hand');
RESET ROLE;
:ask
DROP ROLE regress_admin;
\c :home
SET client_min_messages = warning;
DROP DATABASE regress_guard;

-- A superuser, to whom the extension's objects belong, too, and a table's owner who gets them all.
CREATE DATABASE regress_guard;
\c regress_guard
SET client_min_messages = warning;
:repair
GRANT CREATE ON SCHEMA public TO regress_alice;
SET ROLE regress_alice;
:tables
SET ROLE regress_super;
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users'), session_guard.watch('user_role', 'user_id');
SELECT session_start(1) AS login \gset
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET active = true WHERE id = 1;
SELECT session_guard.grant_access('regress_app');
GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO regress_by_hand;
RESET ROLE;
REASSIGN OWNED BY regress_super TO regress_alice;
DROP OWNED BY regress_super;
:ask
:wrong
SELECT session_start(3) AS login_of_3, session_start(4) AS login_of_4 \gset
:stamped
SELECT * FROM repair();
:wrong
:ask
:stamped
SET ROLE regress_alice;
SELECT session_guard.configure(audit => true), session_guard.attach('users');
RESET ROLE;
DROP ROLE regress_super;
\c :home
DROP DATABASE regress_guard;
DROP ROLE regress_next, regress_alice, regress_bob, regress_app, regress_by_hand;
