-- history gives a user's events, the newest first, by an index.
\set SHOW_CONTEXT never
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
CREATE TABLE members (id uuid PRIMARY KEY, active boolean);
INSERT INTO members VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true);
CREATE TABLE named (id text PRIMARY KEY, active boolean);
INSERT INTO named VALUES ('1', true), (repeat('x', 100000), true);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users'), session_guard.attach('members'), session_guard.attach('named');
UPDATE users SET active = false WHERE id = 1;
UPDATE users SET active = true WHERE id = 1;
SELECT session_guard.revoke_sessions(1, 'lost phone') IS NOT NULL, session_guard.revoke_sessions(2) IS NOT NULL;
UPDATE members SET active = false;
UPDATE named SET active = false;
DELETE FROM users WHERE id = 3;

-- By ids of each type; a text is read as the id column reads it. A deleted user has one, too.
SELECT reason FROM session_guard.history(1);
SELECT reason FROM session_guard.history(' +01 ', users => 'users');
SELECT reason FROM session_guard.history(1::smallint) UNION ALL SELECT reason FROM session_guard.history(2::bigint);
SELECT guard, user_id, reason FROM session_guard.history('{A0EEBC999C0B4EF8BB6D6BB9BD380A11}', 'members');
SELECT guard, user_id, reason FROM session_guard.history('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'members');
SELECT guard, reason FROM session_guard.history(1, 'named');
SELECT guard, reason FROM session_guard.history(repeat('x', 100000), 'named');
SELECT reason FROM session_guard.history(3);
-- Nobody has none.
SELECT count(*) FROM session_guard.history(99);
SELECT count(*) FROM session_guard.history('abc');
SELECT count(*) FROM session_guard.history(NULL::bigint);
SELECT count(*) FROM session_guard.history(NULL::text, 'members');
SELECT count(*) FROM session_guard.history('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid);
SELECT session_guard.history(1, 'pg_class');
\echo :LAST_ERROR_SQLSTATE

-- By the index, among many.
INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role, acting_role, transaction_id)
SELECT now(), 'public.users', n::text, now(), 'by hand', 'r', 'r', '1' FROM generate_series(100, 20000) AS n;
ANALYZE session_guard.event;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query;
END $$;
SELECT bool_or(line ~ 'event_of_user') AS by_index, bool_or(line ~ 'Seq Scan') AS by_table FROM plan_of($$SELECT e.* FROM session_guard.event AS e
    WHERE e.user_id = (session_guard.event_key(1, NULL))[2] AND e.guard = (session_guard.event_key(1, NULL))[1] ORDER BY e.at DESC, e.id DESC$$) AS line;

-- Whoever may read the record may call it.
CREATE ROLE regress_auditor;
SET ROLE regress_auditor;
SELECT reason FROM session_guard.history(1);
RESET ROLE;
GRANT USAGE ON SCHEMA session_guard TO regress_auditor;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO regress_auditor;
SET ROLE regress_auditor;
SELECT reason FROM session_guard.history(1);
RESET ROLE;
GRANT SELECT ON session_guard.event TO regress_auditor;
SET ROLE regress_auditor;
SELECT reason FROM session_guard.history(1);
-- Also in a transaction that may not write.
BEGIN READ ONLY;
SELECT count(*) FROM session_guard.history(1);
ROLLBACK;
RESET ROLE;

DROP EXTENSION pg_session_guard;
DROP TABLE users, members, named;
DROP FUNCTION plan_of;
DROP ROLE regress_auditor;
