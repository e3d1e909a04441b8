-- The last and the first timestamps, and the infinite ones: with the widest margin, no check, stamp or call of administration raises.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE EXTENSION pg_session_guard;
SELECT session_guard.configure(stamp_margin => '1 day', future_login_tolerance => '1 day');
CREATE TABLE moment (n int, at timestamptz);
INSERT INTO moment VALUES (1, '-infinity'), (2, '4714-11-24 00:00:00+00 BC'), (3, '4714-11-24 00:00:00.000001+00 BC'), (4, '2020-01-01'),
    (5, '294276-11-30 23:59:59+00'), (6, '294276-12-30 23:59:59.999999+00'), (7, '294276-12-31 00:00:00+00'), (8, '294276-12-31 23:59:59.999999+00'), (9, 'infinity'), (10, NULL);
CREATE FUNCTION date_of(at timestamptz, n int) RETURNS date LANGUAGE sql AS $$
    SELECT CASE n WHEN 2 THEN '4714-11-24 BC' WHEN 8 THEN '5874897-12-31' WHEN 9 THEN 'infinity' ELSE at::date END::date $$;
CREATE TABLE a_past AS SELECT n AS id, at AS until, n AS touched FROM moment;
CREATE TABLE a_future AS TABLE a_past;
CREATE TABLE b_past AS SELECT n AS id, at::timestamp AS until, n AS touched FROM moment;
CREATE TABLE b_future AS TABLE b_past;
CREATE TABLE c_past AS SELECT n AS id, date_of(at, n) AS until, n AS touched FROM moment;
CREATE TABLE c_future AS TABLE c_past;
CREATE TABLE role (guarded text, user_id int);
CREATE TABLE role_a AS TABLE role;
CREATE VIEW guarded AS SELECT oid::regclass AS users, relname, substring(relname FROM '_(.*)') AS form FROM pg_class WHERE relname ~ '^[abc]_(past|future)$';
SELECT format('ALTER TABLE %s ADD PRIMARY KEY (id)', users) FROM guarded ORDER BY relname \gexec
SELECT users, session_guard.attach(users, active_column => 'until', active_when => form, revoke_on => '{touched}') FROM guarded ORDER BY relname;
SELECT session_guard.watch('role', 'user_id', users => 'a_past'), session_guard.watch('role_a', 'user_id', users => 'c_past');
-- Each check, with the branch that attach has written and without it.
CREATE VIEW answers AS SELECT users, string_agg(concat(session_verdict(users, n, clock_timestamp()), CASE WHEN session_start(users, n) IS NOT NULL THEN '+' END), ' ' ORDER BY n)
    FROM guarded, moment GROUP BY users, relname ORDER BY relname;
SELECT * FROM answers;
SELECT users, string_agg(session_verdict(users, 4, m.at), ' ' ORDER BY m.n), string_agg(session_verdict(users, 4, m.at::timestamp), ' ' ORDER BY m.n) FROM guarded, moment AS m GROUP BY users, relname ORDER BY relname;
SELECT string_agg(token_valid('s', 't', m.at)::text, ' ' ORDER BY m.n), string_agg(token_valid('s', 't', m.at::timestamp)::text, ' ' ORDER BY m.n) FROM moment AS m;
UPDATE session_guard.guard SET max_session_age = '1 month';
SELECT * FROM answers;
SELECT users, string_agg(session_verdict(users, 4, m.at), ' ' ORDER BY m.n) FROM guarded, moment AS m GROUP BY users, relname ORDER BY relname;
UPDATE session_guard.guard SET max_session_age = NULL;
-- Each change from one to another.
SELECT format('UPDATE %s SET until = o.until FROM %1$s AS o WHERE o.id = (%1$s.id + %2$s) %% 10 + 1', users, n) FROM guarded, generate_series(0, 9) AS n ORDER BY relname, n \gexec
SELECT format('UPDATE %s SET touched = 0', users) FROM guarded ORDER BY relname \gexec
INSERT INTO role SELECT 'a', n FROM moment;
INSERT INTO role_a SELECT 'c', n FROM moment;
SELECT * FROM answers;
-- Epochs at the end of time rise no more, and nobody is let in past the last.
SELECT format('UPDATE session_guard.epoch SET epoch = %L WHERE user_id = %L', m.at, m.n) FROM moment AS m WHERE m.n BETWEEN 2 AND 9 \gexec
SELECT users, count(session_guard.revoke_sessions(n, users => users)) FROM guarded, moment GROUP BY users, relname ORDER BY relname;
UPDATE a_past SET touched = 1;
UPDATE session_guard.guard_epoch SET epoch = 'infinity';
SELECT session_guard.revoke_all_sessions('a_past') IS NOT NULL AS is_done;
UPDATE session_guard.guard_epoch SET epoch = '294276-12-31 23:59:59.999999+00';
SELECT session_guard.revoke_all_sessions('a_past');
SELECT session_guard.revoke_tokens('s', 't') IS NOT NULL AS is_done;
UPDATE session_guard.token_epoch SET epoch = '294276-12-31 23:59:59.999999+00';
SELECT session_guard.revoke_tokens('s', 't'), session_guard.revoke_tokens('s') IS NOT NULL AS is_done;
SELECT token_valid('s', 't', 'infinity'::timestamptz);
SELECT * FROM answers;
SELECT count(*) > 0 AS is_there FROM session_guard.health();
SELECT count(*) FROM session_guard.prune('1 day', '1 day');
SELECT session_guard.reconcile() > 0 AS is_done;
SELECT session_guard.detach(users) FROM guarded;

DROP VIEW answers, guarded;
DROP EXTENSION pg_session_guard;
DROP TABLE moment, a_past, a_future, b_past, b_future, c_past, c_future, role, role_a;
DROP FUNCTION date_of;
