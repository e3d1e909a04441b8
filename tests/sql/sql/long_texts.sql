-- Tokens and ids of any length can be revoked, disabled and recorded: what is too long for an index goes by a digest.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
-- Texts that do not compress, so that their length is what an index would have to hold.
CREATE FUNCTION noise(length int, seed int DEFAULT 0) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substr(string_agg(md5(seed::text || '/' || n::text), '' ORDER BY n), 1, length) FROM generate_series(1, length / 32 + 1) AS n
$$;

-- Tokens that are their own subject: of each length around what an index takes.
SELECT clock_timestamp() AS issued \gset
CREATE TABLE token AS SELECT length, noise(length, length) AS subject, noise(length, -1) AS other
FROM unnest(ARRAY[1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000, 2000, 2047, 2048, 2691, 2692, 2704, 2712, 3000, 3200, 8191, 8192, 100000, 1000000]) AS length;
SELECT length, session_guard.revoke_tokens('session', subject, 'logout') > :'issued' AS is_revoked, token_valid('session', subject, :'issued') AS is_valid,
       token_valid('session', other, :'issued') AS other, token_valid('session', left(subject, -1), :'issued') AS shorter, token_valid('session', subject || 'x', :'issued') AS longer
FROM (SELECT * FROM token ORDER BY length OFFSET 0) AS t;
SELECT count(*) AS epochs, max(length(subject)) < 2700 AS fit FROM session_guard.token_epoch;
SELECT count(*) AS events, count(DISTINCT subject) AS subjects FROM session_guard.event WHERE scope = 'session';
-- Again, they rise; and a long scope.
SELECT bool_and(session_guard.revoke_tokens('session', subject) > epoch) AS have_risen FROM token,
    LATERAL (SELECT min(epoch) AS epoch FROM session_guard.token_epoch) AS e WHERE length > 2000;
SELECT count(*) FROM session_guard.token_epoch;
SELECT session_guard.revoke_tokens(noise(5000), 'x') IS NOT NULL AS one, token_valid(noise(5000), 'x', :'issued') AS x, token_valid(noise(5000), 'y', :'issued') AS y,
       token_valid(noise(5000, 1), 'x', :'issued') AS other_scope;
SELECT session_guard.revoke_tokens(noise(5000)) IS NOT NULL AS scope, token_valid(noise(5000), 'y', :'issued') AS y, token_valid(noise(5000), NULL, :'issued') AS no_subject,
       token_valid(noise(5000), noise(5000), :'issued') AS long_subject;
-- A text that is the digest of another shares its epoch, which can only be stricter.
SELECT session_guard.revoke_tokens('other', noise(3000)) IS NOT NULL AS is_revoked;
SELECT length(subject), token_valid('other', noise(3000), :'issued') AS is_valid, token_valid('other', subject, :'issued') AS of_digest,
       token_valid('other', noise(3000, 1), :'issued') AS other, token_valid('other', left(subject, -1), :'issued') AS shorter
FROM session_guard.token_epoch WHERE scope = 'other';

-- Accounts whose ids are long texts.
CREATE TABLE users (id text PRIMARY KEY, active boolean, password text);
INSERT INTO users SELECT noise(length), true, 'x' FROM unnest(ARRAY[1, 32, 64, 2000, 2600]) AS length;
-- Such as compress fit into an index that is much shorter.
INSERT INTO users SELECT repeat('long ', length), true, 'x' FROM unnest(ARRAY[600, 5000, 20000]) AS length;
SELECT session_guard.attach('users', revoke_on => '{password}');
CREATE TABLE login AS SELECT id, session_start(id) AS login FROM users;
SELECT length(id), session_verdict(id, login), session_verdict(id || ' ', login) AS other FROM login ORDER BY 1;
UPDATE users SET active = false;
SELECT length(id), session_verdict(id, login), session_start(id) IS NULL AS no_login FROM login ORDER BY 1;
UPDATE users SET active = true;
SELECT length(id), session_verdict(id, login), session_verdict(id, session_start(id)) AS new, session_guard.epoch_of(id) IS NOT NULL AS has_epoch,
       (SELECT count(*) FROM session_guard.history(id)) AS events FROM login ORDER BY 1;
UPDATE users SET password = 'y' WHERE length(id) > 2000;
UPDATE users SET id = id || '!' WHERE length(id) > 2000;
SELECT session_guard.revoke_sessions(id, noise(100000)) IS NOT NULL AS is_done FROM users WHERE length(id) > 20000;
DELETE FROM users WHERE length(id) = 64;
INSERT INTO users VALUES (noise(64), true);
SELECT length(id), session_verdict(id, login) AS of_old_id, session_verdict(id || '!', login) AS of_new_id FROM login WHERE length(id) > 2000 ORDER BY 1;
SELECT session_verdict(noise(64), login) FROM login WHERE length(id) = 64;
SELECT max(length(user_id)) < 2700 AS fit, max(length(reason)) > 100000 AS with_reason FROM session_guard.event;
-- Of a reason, the record keeps the first million characters.
SELECT session_guard.revoke_sessions(noise(32), repeat('ré', 1000000)) IS NOT NULL, session_guard.revoke_tokens('session', 's', repeat('ré', 1000000)) IS NOT NULL, session_guard.revoke_all_sessions('users', repeat('ré', 1000000)) IS NOT NULL AS is_done;
SELECT length(reason), reason = 'admin: ' || repeat('ré', 500000) AS is_beginning FROM session_guard.event WHERE length(reason) > 200000;
-- Disabled and re-enabled unseen, and found by the backfill.
ALTER TABLE users DISABLE TRIGGER USER;
UPDATE users SET active = false WHERE length(id) > 2500;
SET client_min_messages = error;
SELECT session_guard.reconcile();
RESET client_min_messages;
SELECT count(*) FROM session_guard.health() WHERE check_name = 'disabled_accounts' AND NOT ok;
SELECT session_guard.attach('users');
-- Changed in a watched table; a digest is nobody's id.
CREATE TABLE role (user_id text, name text);
SELECT session_guard.watch('role', 'user_id');
UPDATE users SET active = true;
SELECT id, session_start(id) AS login FROM users WHERE length(id) > 90000 \gset long_
INSERT INTO role VALUES (:'long_id', 'admin'), (noise(3000000), 'nobody');
SELECT session_verdict(:'long_id', :'long_login');
SELECT user_id AS digest FROM session_guard.epoch ORDER BY length(user_id) DESC, user_id LIMIT 1 \gset
SELECT session_verdict(:'digest', now()) IN ('unknown_user', 'valid', 'revoked') AS is_answered;

-- In a session store, too; but the id that reads like it is an id. Nobody gets a row who has no account.
CREATE TABLE session (user_id text);
CREATE TABLE last_revoked (user_id text UNIQUE, revoked_at timestamptz);
SELECT session_guard.add_store('session', 'user_id'), session_guard.add_store('last_revoked', 'user_id', 'revoked_at');
SELECT 'sha256:' || repeat('0', 64) AS like_a_digest \gset
INSERT INTO users VALUES (:'like_a_digest', true);
INSERT INTO session VALUES (:'like_a_digest'), ('somebody');
UPDATE users SET active = false WHERE id = :'like_a_digest' OR length(id) > 90000;
SELECT left(user_id, 12) AS user_id FROM session;
SELECT left(user_id, 12) AS user_id FROM last_revoked WHERE length(user_id) = 71;
SELECT session_guard.revoke_all_sessions('users') IS NOT NULL AS is_done;
SELECT left(user_id, 12) AS user_id FROM last_revoked WHERE length(user_id) = 71;

-- Whatever is asked is answered.
SELECT session_verdict(noise(10000000), now()), token_valid(noise(10000000), noise(10000000), now()), session_start(noise(1000000)) IS NULL AS no_login;

DROP EXTENSION pg_session_guard;
DROP TABLE users, token, login, role, session, last_revoked;
DROP FUNCTION noise;
