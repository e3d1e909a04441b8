\echo :story'An app with users, one of them disabled already. The extension finds its users table.':answer
SELECT id, username, active FROM ab_user ORDER BY id;
CREATE EXTENSION pg_session_guard;

\echo :story'Ada logs in. The app stores the login time with her session, in a cookie.':answer
SELECT session_start(1) AS login_at \gset
\echo ' login_at' = :login_at

\echo :story'At each request the app asks whether the session still counts.':answer
SELECT session_valid(1, :'login_at');

\echo :story'What the app writes at a login does not matter to it.':answer
UPDATE ab_user SET login_count = 1, last_login = now() WHERE id = 1;
SELECT session_valid(1, :'login_at');

\echo :story'Somebody disables her account, in plain SQL, past the app.':answer
UPDATE ab_user SET active = false WHERE username = 'ada';
SELECT session_valid(1, :'login_at'), session_verdict(1, :'login_at');

\echo :story'She cannot log in.':answer
SELECT session_start(1) IS NULL AS refused;

\echo :story'Enabled again, her old session stays ended: the stamp is later than its login time.':answer
UPDATE ab_user SET active = true WHERE username = 'ada';
SELECT session_valid(1, :'login_at'), session_verdict(1, :'login_at');
SELECT user_id, epoch, reason FROM session_guard.epoch ORDER BY user_id;

\echo :story'A new login is valid.':answer
SELECT session_start(1) AS login_at \gset
\echo ' login_at' = :login_at
SELECT session_valid(1, :'login_at'), session_verdict(1, :'login_at');

\echo :story'What an operator wants to know.':answer
SELECT check_name, ok, detail FROM session_guard.health();
