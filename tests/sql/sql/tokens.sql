-- revoke_tokens ends the tokens of a subject or of a whole scope, whoever their user is.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;

-- Without a stamp, all times count that are not ahead of the clock.
SELECT token_valid('embedded_dashboard', 'd1', now()), token_valid('embedded_dashboard', 'd1', NULL::timestamptz),
       token_valid('embedded_dashboard', 'd1', '-infinity'::timestamptz), token_valid('embedded_dashboard', 'd1', 'infinity'::timestamptz),
       token_valid('embedded_dashboard', 'd1', now() + interval '1 h'), token_valid(NULL, 'd1', now()),
       token_valid('embedded_dashboard', NULL, now());

-- One dashboard's tokens.
SELECT clock_timestamp() AS issued \gset
SELECT session_guard.revoke_tokens('embedded_dashboard', 'd1', 'shared by mistake') > now() AS is_ahead;
SELECT subject, token_valid('embedded_dashboard', subject, :'issued') FROM unnest(ARRAY['d1', 'd2', NULL]) AS subject;
SELECT token_valid('embedded_dashboard', 'd1', NULL::timestamptz), token_valid('other', 'd1', :'issued'),
       token_valid('embedded_dashboard', 'd1', now() + interval '2 s');
-- A naive time is UTC.
SET TimeZone = 'Asia/Tokyo';
SELECT token_valid('embedded_dashboard', 'd1', :'issued'::timestamptz AT TIME ZONE 'UTC'),
       token_valid('embedded_dashboard', 'd2', :'issued'::timestamptz AT TIME ZONE 'UTC');
RESET TimeZone;

-- All of the scope; a subject whose epoch is ahead is raised with it.
UPDATE session_guard.token_epoch SET epoch = date_trunc('second', clock_timestamp()) + interval '1 h';
SELECT epoch AS before FROM session_guard.token_epoch \gset
SELECT session_guard.revoke_tokens('embedded_dashboard') > now() AS is_ahead;
SELECT epoch - :'before' AS risen_by FROM session_guard.token_epoch WHERE subject = 'd1';
SELECT subject, token_valid('embedded_dashboard', subject, :'issued') FROM unnest(ARRAY['d1', 'd2', NULL]) AS subject;
SELECT token_valid('embedded_dashboard', 'd2', now() + interval '2 s'), token_valid('other', 'd2', :'issued');
-- Again: strictly rising, from the greater of both.
SELECT session_guard.revoke_tokens('embedded_dashboard', 'd2') AS first \gset
SELECT session_guard.revoke_tokens('embedded_dashboard', 'd2') - :'first' >= '1 ms' AS has_risen;
SELECT scope, subject, reason FROM session_guard.token_epoch ORDER BY subject;
SELECT session_guard.revoke_tokens(NULL), session_guard.revoke_tokens('', '') IS NOT NULL AS an_empty_name_is_one;

-- One session's logout, and both checks in one call.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users VALUES (1, true);
SELECT session_guard.attach('users');
SELECT session_start(1) AS login \gset
SELECT session_valid(1, :'login') AND token_valid('session', 's1', NULL) AS is_valid,
       session_valid(1, :'login') AND token_valid('session', 's2', NULL) AS other_is_valid;
SELECT session_guard.revoke_tokens('session', 's1', 'logout') IS NOT NULL AS is_out;
SELECT session_valid(1, :'login') AND token_valid('session', 's1', NULL) AS is_valid,
       session_valid(1, :'login') AND token_valid('session', 's2', NULL) AS other_is_valid;

-- A user's JWT: its subject, and when it was issued in seconds.
SELECT session_valid('1', to_timestamp(floor(extract(epoch FROM :'login'::timestamptz)))) AS before;
UPDATE users SET active = false;
UPDATE users SET active = true;
SELECT session_valid('1', to_timestamp(floor(extract(epoch FROM :'login'::timestamptz)))) AS after;

-- Undone with the transaction.
BEGIN;
SELECT session_guard.revoke_tokens('session', 's3') IS NOT NULL AS is_out;
SELECT token_valid('session', 's3', :'login');
ROLLBACK;
SELECT token_valid('session', 's3', :'login');

-- Without its index the table is read as a whole; without the table there is no answer.
SELECT session_guard.revoke_tokens('session', 's4') IS NOT NULL AS is_out;
BEGIN;
ALTER INDEX session_guard.token_epoch_key RENAME TO other_key;
SELECT token_valid('session', 's4', :'login');
ALTER TABLE session_guard.token_epoch RENAME TO other_epoch;
\set VERBOSITY sqlstate
SELECT token_valid('session', 's4', :'login');
ROLLBACK;
BEGIN;
ALTER SCHEMA session_guard RENAME TO other_guard;
SELECT token_valid('session', 's4', :'login');
ROLLBACK;
\set VERBOSITY default

-- Whoever may ask, and whoever may revoke.
CREATE ROLE regress_app;
SET ROLE regress_app;
SELECT token_valid('session', 's1', now());
RESET ROLE;
GRANT EXECUTE ON FUNCTION token_valid(text, text, timestamptz) TO regress_app;
SET ROLE regress_app;
SELECT token_valid('session', 's1', :'login'), token_valid('session', 's2', :'login');
SELECT session_guard.revoke_tokens('session', 's2');
RESET ROLE;
GRANT USAGE ON SCHEMA session_guard TO regress_app;
GRANT EXECUTE ON FUNCTION session_guard.revoke_tokens TO regress_app;
SET ROLE regress_app;
SELECT session_guard.revoke_tokens('session', 's2') IS NOT NULL AS is_out;
SELECT * FROM session_guard.token_epoch;
RESET ROLE;

DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP ROLE regress_app;
