-- attach leaves what it is not told, changes what it is told, and stamps nobody again who is stamped for being disabled.
CREATE TABLE users (id int PRIMARY KEY, active boolean, enabled boolean, password text, otp text);
INSERT INTO users SELECT n, n > 3, n > 3, 'x', 'x' FROM generate_series(1, 9) AS n;
CREATE TABLE others (id int PRIMARY KEY, active boolean);
CREATE TABLE role (user_id int);
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE VIEW options AS SELECT name, id_column, active_column, active_when, revoke_on, max_session_age, is_default FROM session_guard.guard ORDER BY name;
SELECT session_guard.attach('users', revoke_on => '{password}', max_session_age => '12 hours', is_default => true), session_guard.attach('others', is_default => false);
SELECT session_guard.watch('role', 'user_id');
SELECT * FROM options;
SELECT session_start(5) AS login \gset
SELECT max(epoch) AS before FROM session_guard.epoch \gset

-- Nothing told.
SELECT session_guard.attach('users');
SELECT session_guard.attach('users', NULL, NULL, NULL, NULL, NULL, NULL);
SELECT * FROM options;
-- Each alone. Nobody is stamped, no session ends.
SELECT session_guard.attach('users', id_column => 'id'), session_guard.attach('users', active_column => 'active'), session_guard.attach('users', active_when => 'true');
SELECT session_guard.attach('users', revoke_on => '{password,otp}');
SELECT session_guard.attach('users', max_session_age => '30 days');
SELECT session_guard.attach('users', is_default => false);
SELECT * FROM options;
SELECT session_guard.attach('users', is_default => true);
SELECT session_guard.attach('users', revoke_on => '{otp}', max_session_age => '1 day');
SELECT * FROM options;
SELECT count(*) FILTER (WHERE epoch > :'before') AS stamped_again, count(*) FROM session_guard.epoch;
SELECT session_verdict(5, :'login');
UPDATE users SET password = 'y' WHERE id = 5;
SELECT session_verdict(5, :'login');
UPDATE users SET otp = 'y' WHERE id = 5;
SELECT session_verdict(5, :'login');
-- Taken away.
SELECT session_guard.attach('users', revoke_on => '{}', max_session_age => '0');
SELECT * FROM options;
UPDATE users SET otp = 'z' WHERE id = 6;
SELECT session_verdict(6, '2000-01-01'::timestamptz);
-- Another status column: those whom it disables besides are stamped, and counted.
UPDATE users SET enabled = false WHERE id = 7;
SELECT session_guard.attach('users', active_column => 'enabled');
SELECT session_verdict(7, now());
SELECT session_guard.attach('users', active_column => 'active');
SELECT session_guard.attach('users');
SELECT session_verdict(7, now() + interval '2 s');

-- The same after a detach, which nobody knows what happened after: all disabled accounts are stamped.
SELECT session_guard.attach('users', revoke_on => '{password}', max_session_age => '12 hours');
SELECT session_guard.detach('users');
SELECT session_guard.attach('users');
SELECT * FROM options;
SELECT check_name FROM session_guard.health() WHERE NOT ok;
-- While it was detached, another became the default; that stays.
SELECT session_guard.detach('users'), session_guard.attach('others', is_default => true), session_guard.attach('users', max_session_age => '6 hours');
SELECT * FROM options;
-- attach puts back triggers that are off, and lets a wrong call change nothing.
ALTER TABLE users DISABLE TRIGGER session_guard_update;
SELECT session_guard.attach('users', revoke_on => '{nothing}');
SELECT session_guard.attach('users', max_session_age => '-1 s');
SELECT session_guard.attach('users', active_when => 'x');
SELECT * FROM options;
SELECT DISTINCT ok FROM session_guard.health() WHERE check_name = 'armed' AND guard = 'public.users';
SELECT session_guard.attach('users');
SELECT DISTINCT ok FROM session_guard.health() WHERE check_name = 'armed' AND guard = 'public.users';
-- Watches stay through all of it.
SELECT table_name FROM session_guard.watch;
INSERT INTO role VALUES (8);
SELECT reason FROM session_guard.history(8, 'users');

DROP VIEW options;
DROP EXTENSION pg_session_guard;
DROP TABLE users, others, role;
