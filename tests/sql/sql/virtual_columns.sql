-- A virtual generated column (PostgreSQL 18) is in no row that is stored: it is no id, no status, and no column of revoke_on.
SELECT current_setting('server_version_num')::int < 180000 AS has_none \gset
\if :has_none
\quit
\endif
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE TABLE users (id int PRIMARY KEY, active boolean, password text, number int GENERATED ALWAYS AS (id + 1) VIRTUAL,
    may boolean GENERATED ALWAYS AS (active AND password <> '') VIRTUAL, digest text GENERATED ALWAYS AS (upper(password)) VIRTUAL);
INSERT INTO users SELECT n, true, 'x' FROM generate_series(1, 9) AS n;
SELECT session_guard.attach('users', id_column => 'number');
SELECT session_guard.attach('users', active_column => 'may');
SELECT session_guard.attach('users', active_column => 'digest', active_when => 'null');
SELECT session_guard.attach('users', revoke_on => '{digest}');
SELECT count(*) FROM session_guard.guard;

-- Beside one, everything is as ever; what it is made of can be named.
SELECT session_guard.attach('users', revoke_on => '{password}');
CREATE TABLE login AS SELECT id, session_start(id) AS login FROM users;
CREATE VIEW verdicts AS SELECT string_agg(id::text, ',' ORDER BY id) AS ids, session_verdict(id, login) AS verdict FROM login GROUP BY 2 ORDER BY min(id);
UPDATE users SET active = active, password = password;
SELECT * FROM verdicts;
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET password = 'y' WHERE id = 2;
UPDATE users SET id = 30 WHERE id = 3;
SELECT * FROM verdicts;

-- A related table's names no user, but its change is seen, which PostgreSQL computes from both rows.
CREATE TABLE role (user_id int, name text, note text, holder int GENERATED ALWAYS AS (user_id) VIRTUAL, title text GENERATED ALWAYS AS (upper(name)) VIRTUAL);
SELECT session_guard.watch('role', 'holder');
SELECT session_guard.watch('role', 'user_id', '{title}');
INSERT INTO role VALUES (4, 'viewer');
UPDATE login SET login = session_start(id) WHERE id = 4;
UPDATE role SET name = 'Viewer', note = 'x';
SELECT * FROM verdicts;
UPDATE role SET name = 'admin';
SELECT * FROM verdicts;
-- So it is among all columns of a row.
SELECT session_guard.watch('role', 'user_id');
UPDATE login SET login = session_start(id) WHERE id = 4;
UPDATE role SET name = name;
SELECT * FROM verdicts;
UPDATE role SET name = 'owner';
SELECT * FROM verdicts;

-- A session store's.
CREATE TABLE session (user_id int UNIQUE, revoked_at timestamptz, holder int GENERATED ALWAYS AS (user_id) VIRTUAL, ended timestamptz GENERATED ALWAYS AS (revoked_at) VIRTUAL);
SELECT session_guard.add_store('session', 'holder');
SELECT session_guard.add_store('session', 'user_id', 'ended');
SELECT session_guard.add_store('session', 'user_id', 'revoked_at');
INSERT INTO session VALUES (5);
UPDATE users SET active = false WHERE id = 5;
SELECT user_id, ended > '2000-01-01' AS has_ended FROM session ORDER BY 1;

-- A column that is one now, under the name of what was guarded: nobody is let in, and the app's own writes go on.
DROP VIEW verdicts;
SET client_min_messages = error;
ALTER TABLE users DROP active CASCADE, ADD active boolean GENERATED ALWAYS AS (password <> '') VIRTUAL;
SELECT session_verdict(6, now());
\echo :LAST_ERROR_SQLSTATE
UPDATE users SET password = 'z' WHERE id = 6;
RESET client_min_messages;
SELECT ok, detail ~ 'does not fit column active' AS is_told FROM session_guard.health() WHERE check_name = 'table';

DROP EXTENSION pg_session_guard;
DROP TABLE users, role, session, login;
