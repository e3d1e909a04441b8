-- A user changes the own password and goes on: session_start, in the transaction of the change, gives a time that the
-- change does not end, and that whatever comes later does.
CREATE TABLE ab_user (id int PRIMARY KEY, active boolean DEFAULT true, password text);
INSERT INTO ab_user VALUES (1, true, 'old'), (2, true, 'old');
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('ab_user', revoke_on => '{password}');
SELECT session_start(1) AS before \gset

BEGIN;
UPDATE ab_user SET password = 'mine' WHERE id = 1;
SELECT session_start(1)::text AS begun \gset
SELECT session_verdict(1, :'begun'::timestamptz), session_verdict(1, :'before'::timestamptz) AS of_before;
COMMIT;
SELECT session_verdict(1, :'begun'::timestamptz), session_verdict(1, :'before'::timestamptz) AS of_before;

-- Somebody else's stamp in the same second, by each way.
UPDATE ab_user SET password = 'reset' WHERE id = 1;
SELECT session_verdict(1, :'begun'::timestamptz);
BEGIN;
UPDATE ab_user SET password = 'mine' WHERE id = 1;
SELECT session_start(1)::text AS begun \gset
COMMIT;
SELECT session_verdict(1, :'begun'::timestamptz);
SELECT session_guard.revoke_sessions(1) IS NOT NULL;
SELECT session_verdict(1, :'begun'::timestamptz);
BEGIN;
UPDATE ab_user SET password = 'mine again' WHERE id = 1;
SELECT session_start(1)::text AS begun \gset
COMMIT;
SELECT session_verdict(1, :'begun'::timestamptz);
UPDATE ab_user SET active = false WHERE id = 1;
UPDATE ab_user SET active = true WHERE id = 1;
SELECT session_verdict(1, :'begun'::timestamptz);
BEGIN;
UPDATE ab_user SET password = 'mine once more' WHERE id = 1;
SELECT session_start(1)::text AS begun \gset
COMMIT;
SELECT session_verdict(1, :'begun'::timestamptz);
SELECT session_guard.revoke_all_sessions() IS NOT NULL;
SELECT session_verdict(1, :'begun'::timestamptz);

-- A second change of the same transaction comes later, too. A savepoint between them changes nothing.
BEGIN;
UPDATE ab_user SET password = 'first' WHERE id = 2;
SAVEPOINT between;
SELECT session_start(2)::text AS begun \gset
RELEASE between;
SELECT session_verdict(2, :'begun'::timestamptz);
UPDATE ab_user SET password = 'second' WHERE id = 2;
SELECT session_verdict(2, :'begun'::timestamptz);
COMMIT;
SELECT session_verdict(2, :'begun'::timestamptz);
-- A time from before the change is void, and so is one of RETURNING, which comes before the trigger.
BEGIN;
SELECT session_start(2)::text AS begun \gset
UPDATE ab_user SET password = 'third' WHERE id = 2 RETURNING session_start(2)::text AS returned \gset
COMMIT;
SELECT session_verdict(2, :'begun'::timestamptz), session_verdict(2, :'returned'::timestamptz) AS of_returned;
-- An account that is disabled by the same change gets none.
BEGIN;
UPDATE ab_user SET password = 'fourth', active = false WHERE id = 2;
SELECT session_start(2) IS NULL AS refused;
COMMIT;

DROP TABLE ab_user;
DROP EXTENSION pg_session_guard;
