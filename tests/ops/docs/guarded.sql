-- What "Install" of docs/operations.md has made.
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users', revoke_on => '{password}', max_session_age => '12 hours');
SELECT session_guard.watch('user_role', 'user_id');
SELECT session_guard.grant_access('app');
