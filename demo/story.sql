\echo :story'An app has a users table. The extension finds it, and puts triggers on it.':answer
CREATE EXTENSION pg_session_guard;

\echo
\echo :story'Ada logs in. The app keeps the login time with her session, in a cookie.':answer
SELECT session_start(1) AS login_at \gset
\echo 'login_at =' :login_at

\echo
\echo :story'At each request the app asks: is this session still valid?':answer
SELECT session_valid(1, :'login_at');

\echo
\echo :story'Somebody disables her account in plain SQL. No app took part.':answer
UPDATE ab_user SET active = false WHERE username = 'ada';
SELECT session_valid(1, :'login_at');

\echo
\echo :story'She cannot log in.':answer
SELECT session_start(1) IS NULL AS refused;

\echo
\echo :story'Her account is enabled again. The old session stays ended.':answer
UPDATE ab_user SET active = true WHERE username = 'ada';
SELECT session_verdict(1, :'login_at');

\echo
\echo :story'A new login is valid.':answer
SELECT session_start(1) AS login_at \gset
\echo 'login_at =' :login_at
SELECT session_valid(1, :'login_at');

\echo
\echo :story'The record says what ended her sessions, and who did it.':answer
SELECT reason, login_role FROM session_guard.history(1) \g (expanded=off tuples_only=on fieldsep=', ')
