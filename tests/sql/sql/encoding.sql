-- Text ids are handled in the database's encoding, also where that is not UTF-8.
SELECT current_database() AS home \gset
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_latin1
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id text PRIMARY KEY, active boolean);
CREATE TABLE numbered (id int PRIMARY KEY, active boolean);
SELECT convert_from('\xe9e8', 'LATIN1') AS id \gset
INSERT INTO users VALUES (:'id', true), ('plain', false);
SELECT session_guard.attach('users'), session_guard.attach('numbered');
SELECT session_verdict(:'id', now()), session_verdict(convert_from('\xe9', 'LATIN1'), now()), session_verdict('numbered', :'id', now());
UPDATE users SET active = false WHERE id = :'id';
SELECT session_verdict(:'id', now());
UPDATE users SET active = true WHERE id = :'id';
SELECT session_verdict(:'id', '2026-01-01'::timestamptz), session_verdict(:'id', session_start(:'id'));
SELECT encode(convert_to(user_id, 'LATIN1'), 'hex') AS user_id, reason FROM session_guard.epoch ORDER BY user_id;
SELECT bool_and(ok) FROM session_guard.health();
-- So are events, and what is made of them.
SELECT session_guard.revoke_sessions(:'id', convert_from('\xfc', 'LATIN1')) IS NOT NULL AS is_done;
SELECT e #>> '{sub_id,user,id}' = :'id' AS id, e #>> '{events,https://schemas.openid.net/secevent/caep/event-type/session-revoked,reason_admin,en}' = convert_from('\x61646d696e3a20fc', 'LATIN1') AS reason
FROM session_guard.security_event((SELECT max(id) FROM session_guard.event)) AS e;
\c :home
DROP DATABASE regress_latin1;

-- Where the encoding is nobody's, bytes that are no UTF-8 are names of tables, columns and roles, too.
CREATE DATABASE regress_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_ascii
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id text PRIMARY KEY, active boolean);
SELECT convert_from('\xe9e8', 'SQL_ASCII') AS id \gset
INSERT INTO users VALUES (:'id', true);
SELECT session_guard.attach('users');
UPDATE users SET active = false WHERE id = :'id';
UPDATE users SET active = true WHERE id = :'id';
SELECT session_verdict(:'id', '2026-01-01'::timestamptz), session_verdict(:'id', session_start(:'id'));
SELECT session_guard.revoke_sessions(:'id', :'id') IS NOT NULL AS is_done;
SELECT session_guard.security_event(max(id)) IS NOT NULL AS is_given FROM session_guard.event;
\c :home
DROP DATABASE regress_ascii;
