-- Connections for which a backslash in a string begins an escape, and ids with the letter that one stood for.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (5, true), (6, true);
SELECT session_guard.attach('users');
SELECT session_verdict('v5'::text, now()), session_verdict(E'\x0b5'::text, now());
\c -
SET client_min_messages = warning;
-- PostgreSQL 19 has no such strings.
SELECT current_setting('server_version_num')::int < 190000 AS has_such_strings \gset
\if :has_such_strings
SET standard_conforming_strings = off;
SET escape_string_warning = off;
\endif
SELECT session_start(5) AS at \gset
SELECT session_valid(5, :'at');
SELECT session_verdict('v5'::text, now()), session_verdict(E'\x0b5'::text, now());
UPDATE users SET active = false WHERE id = 5;
SELECT session_verdict(5, :'at');
SELECT reason FROM session_guard.event;
SELECT session_guard.reconcile('users');
SELECT check_name, detail FROM session_guard.health() WHERE NOT ok AND check_name <> 'unique_index';
RESET standard_conforming_strings;
SELECT p.oid::regprocedure FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_session_guard'
WHERE position(chr(92) IN regexp_replace(p.prosrc, $$E'([^'\\]|''|\\.)*'$$, '', 'g')) > 0;
DROP EXTENSION pg_session_guard;
DROP TABLE users;
