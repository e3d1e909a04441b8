-- revoke_sessions ends one user's sessions, and revoke_all_sessions everybody's; the later of the two epochs counts.
CREATE TABLE users (id int PRIMARY KEY, active boolean);
INSERT INTO users SELECT n, n <> 3 FROM generate_series(1, 20) AS n;
CREATE TABLE members (id uuid PRIMARY KEY, active boolean);
INSERT INTO members VALUES ('00000000-0000-0000-0000-000000000001', true), ('00000000-0000-0000-0000-000000000002', true);
CREATE TABLE others (id text PRIMARY KEY, active boolean);
INSERT INTO others VALUES ('ann', true), ('bob', true);
CREATE TABLE step (n int, what text);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
SELECT session_guard.attach('users'), session_guard.attach('members'), session_guard.attach('others');

-- Each form, for ids of each type. The other users' sessions go on.
SELECT clock_timestamp() AS login \gset
SELECT session_guard.revoke_sessions(1) = session_guard.epoch_of(1) AS is_epoch;
SELECT session_guard.revoke_sessions(2, 'lost phone') > now() AS is_ahead;
SELECT session_guard.revoke_sessions(4, 'x', 'users') = session_guard.epoch_of(4);
SELECT session_guard.revoke_sessions('5') = session_guard.epoch_of(5);
SELECT session_guard.revoke_sessions('6', NULL) = session_guard.epoch_of(6);
SELECT session_guard.revoke_sessions('7', users => 'users') = session_guard.epoch_of(7);
SELECT session_guard.revoke_sessions('00000000-0000-0000-0000-000000000001'::uuid, 'x', 'members') IS NOT NULL;
SELECT session_guard.revoke_sessions('ann', 'x', 'others') IS NOT NULL;
SELECT id, session_verdict(id, :'login'), session_verdict(id, session_start(id)) FROM generate_series(1, 8) AS id;
SELECT id, session_verdict('members', id, :'login') FROM members ORDER BY id;
SELECT id, session_verdict('others', id, :'login') FROM others ORDER BY id;
SELECT user_id, reason FROM session_guard.epoch WHERE guard = 'public.users' ORDER BY user_id;

-- A disabled account is stamped, too; nobody is not, which is told: one who names the table first hears of it.
SELECT session_guard.revoke_sessions(3) IS NOT NULL AS is_stamped;
SELECT session_guard.revoke_sessions(99), session_guard.revoke_sessions('abc'), session_guard.revoke_sessions(NULL::bigint),
       session_guard.revoke_sessions('00000000-0000-0000-0000-000000000001'::uuid);
SELECT session_guard.revoke_sessions('members', '00000000-0000-0000-0000-000000000001');
SELECT session_guard.revoke_sessions('00000000-0000-0000-0000-000000000003'::uuid, users => 'members');
CREATE FUNCTION warned(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL client_min_messages = error;
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT warned($s$SELECT session_guard.revoke_sessions(99)$s$) AS not_even_an_error, warned($s$SELECT session_guard.revoke_sessions(1, users => 'step')$s$) AS not_guarded;
DROP FUNCTION warned;
SELECT count(*) FROM session_guard.epoch WHERE user_id !~ '^\d+$' AND guard = 'public.users';

-- The session that asked goes on with a new login time; all others end.
SELECT session_start(8) AS other, session_start(8) AS asking \gset
SELECT session_guard.revoke_sessions(8) IS NOT NULL AS is_done;
SELECT session_start(8) AS asking \gset
SELECT session_valid(8, :'other'), session_valid(8, :'asking');

-- Epochs combine by the greater, in every order: of the user, of all, before and after.
INSERT INTO step VALUES (0, 'user'), (1, 'all'), (2, 'disable'), (3, 'delete');
CREATE FUNCTION take(what text, who int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE what
    WHEN 'user' THEN PERFORM session_guard.revoke_sessions(who);
    WHEN 'all' THEN PERFORM session_guard.revoke_all_sessions();
    WHEN 'disable' THEN
        UPDATE users SET active = false WHERE id = who;
        UPDATE users SET active = true WHERE id = who;
    WHEN 'delete' THEN
        DELETE FROM users WHERE id = who;
        INSERT INTO users VALUES (who, true);
    END CASE;
END $$;
DO $$
DECLARE
    steps record;
    logins timestamptz[];
    epochs timestamptz[];
    what text;
BEGIN
    FOR steps IN SELECT a.what AS a, b.what AS b, c.what AS c FROM step a, step b, step c LOOP
        logins := ARRAY[session_start(9)];
        epochs := ARRAY[session_guard.epoch_of(9)];
        FOREACH what IN ARRAY ARRAY[steps.a, steps.b, steps.c] LOOP
            PERFORM take(what, 9);
            IF session_guard.epoch_of(9) <= epochs[array_upper(epochs, 1)] THEN
                RAISE '%: the epoch has not risen', steps;
            END IF;
            IF EXISTS (SELECT FROM unnest(logins) AS login WHERE session_valid(9, login)) THEN
                RAISE '%: a session has survived', steps;
            END IF;
            logins := logins || session_start(9);
            epochs := epochs || session_guard.epoch_of(9);
            IF NOT session_valid(9, logins[array_upper(logins, 1)]) THEN
                RAISE '%: a new session does not count', steps;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- Whoever may change the accounts may end their sessions, and nobody else.
CREATE ROLE regress_support;
GRANT USAGE ON SCHEMA session_guard TO regress_support;
SET ROLE regress_support;
SELECT session_guard.revoke_sessions(10);
RESET ROLE;
GRANT EXECUTE ON FUNCTION session_guard.revoke_sessions(integer, text, regclass), session_guard.revoke_all_sessions TO regress_support;
SET ROLE regress_support;
SELECT session_guard.revoke_sessions(10);
SELECT session_guard.revoke_sessions(99);
RESET ROLE;
GRANT UPDATE ON users TO regress_support;
SET ROLE regress_support;
SELECT session_guard.revoke_sessions(10) IS NOT NULL AS is_done;
RESET ROLE;

-- Where nothing can be written it says so.
BEGIN READ ONLY;
\set SHOW_CONTEXT never
SELECT session_guard.revoke_sessions(10);
ROLLBACK;

DROP EXTENSION pg_session_guard;
DROP TABLE users, members, others, step;
DROP FUNCTION take;
DROP ROLE regress_support;
