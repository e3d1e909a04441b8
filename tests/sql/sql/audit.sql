-- Each stamp is recorded with its reason and who caused it, and is given out as a security event.
CREATE TABLE users (id int PRIMARY KEY, active boolean, password text);
INSERT INTO users SELECT n, n <> 1 FROM generate_series(1, 20) AS n;
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE ROLE regress_login;
CREATE ROLE regress_acting;
SET application_name = 'the app';
SELECT session_guard.attach('users', revoke_on => '{password}');
UPDATE users SET active = false WHERE id = 2;
UPDATE users SET active = true WHERE id = 2;
UPDATE users SET password = 'x' WHERE id = 3;
UPDATE users SET id = 104 WHERE id = 4;
DELETE FROM users WHERE id = 5;
INSERT INTO users VALUES (5, true);
SELECT session_guard.revoke_sessions(6, 'lost phone') IS NOT NULL, session_guard.revoke_all_sessions() IS NOT NULL,
       session_guard.revoke_tokens('embedded_dashboard', 'd1') IS NOT NULL, session_guard.revoke_tokens('session') IS NOT NULL;
TRUNCATE users;
SELECT guard, user_id, scope, subject, reason FROM session_guard.event GROUP BY 1, 2, 3, 4, 5 ORDER BY min(id);
-- It is of the transaction that stamped.
INSERT INTO users SELECT n, true FROM generate_series(1, 20) AS n;
BEGIN;
UPDATE users SET active = false WHERE id = 7;
SELECT transaction_id = pg_current_xact_id(), at >= now(), epoch > at, epoch = session_guard.epoch_of(7), application_name, client_addr, replication_origin,
       login_role = session_user AS is_login, acting_role = current_user AS is_acting FROM session_guard.event ORDER BY id DESC LIMIT 1;
ROLLBACK;
SELECT count(*) FROM session_guard.event WHERE user_id = '7' AND reason = 'disabled';

-- The role that acts is the caller's, not the owner of a function on the way.
GRANT SELECT, UPDATE ON users TO regress_acting;
SET ROLE regress_acting;
UPDATE users SET active = false WHERE id = 8;
RESET ROLE;
SELECT acting_role FROM session_guard.event ORDER BY id DESC LIMIT 1;

-- Without it.
SELECT session_guard.configure(audit => false);
UPDATE users SET active = false WHERE id = 9;
SELECT session_guard.reconcile();
SELECT session_guard.configure(audit => true);
SELECT count(*) FROM session_guard.event WHERE user_id = '9' AND reason = 'disabled';
SELECT session_verdict(9, now());

-- As a security event.
CREATE FUNCTION claims(event_reason text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT session_guard.security_event(id) FROM session_guard.event WHERE reason = event_reason ORDER BY id LIMIT 1
$$;
SELECT jsonb_pretty(claims('admin: lost phone') #- '{jti}' #- '{iat}'
    #- '{events,https://schemas.openid.net/secevent/caep/event-type/session-revoked,event_timestamp}');
SELECT reason, claims(reason) -> 'sub_id' AS sub_id, jsonb_path_query_first(claims(reason), '$.events.*.initiating_entity') AS initiating_entity
FROM unnest(ARRAY['disabled', 'backfill', 'truncated', 'column:password']) AS reason;
SELECT session_guard.security_event(id) -> 'sub_id' AS sub_id FROM session_guard.event WHERE scope IS NOT NULL ORDER BY id;
SELECT abs((claims('disabled') ->> 'iat')::bigint - extract(epoch FROM now())) < 300 AS is_now,
       count(DISTINCT session_guard.security_event(id) ->> 'jti') = count(*) AS ids_differ, claims('disabled') -> 'jti' = claims('disabled') -> 'jti' AS id_stays
FROM session_guard.event;
SELECT session_guard.security_event(0), session_guard.security_event(NULL);
-- No subject identifier is empty.
SELECT session_guard.revoke_tokens('embedded_dashboard', '') IS NOT NULL AS is_done;
SELECT session_guard.security_event(id), subject = '' AS is_empty FROM session_guard.event ORDER BY id DESC LIMIT 1;

DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP FUNCTION claims;
DROP ROLE regress_login, regress_acting;
