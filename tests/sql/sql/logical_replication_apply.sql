-- Rows that logical replication applies to the epoch tables only ever raise this server's epochs.
-- An apply worker writes them under this setting.
SET TimeZone = 'UTC';
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, active boolean NOT NULL);
INSERT INTO users SELECT n, true FROM generate_series(1, 5) AS n;
SELECT session_guard.attach('users');
CREATE TABLE others (id int PRIMARY KEY, active boolean NOT NULL);
CREATE TABLE other_role (user_id int);
CREATE TABLE user_role (user_id int, role text);
SELECT session_guard.watch('user_role', 'user_id');
INSERT INTO session_guard.epoch (guard, user_id, epoch, reason) VALUES ('public.users', '1', '2020-01-02', 'own');
INSERT INTO session_guard.guard_epoch VALUES ('public.users', '-infinity', 'own', '2019-01-01');
INSERT INTO session_guard.token_epoch (scope, subject, epoch, reason) VALUES ('embedded', 's', '2020-01-02', 'own'), ('embedded', NULL, '2020-01-02', 'own');
CREATE VIEW epochs AS
    SELECT 'user' AS of, user_id AS key, epoch, reason, stamped_at::date FROM session_guard.epoch
    UNION ALL SELECT 'guard', guard, epoch, reason, stamped_at::date FROM session_guard.guard_epoch
    UNION ALL SELECT 'token', subject, epoch, reason, stamped_at::date FROM session_guard.token_epoch;

SET session_replication_role = replica;
-- An epoch that is not here yet.
SELECT session_verdict(2, '2020-01-01'::timestamptz);
INSERT INTO session_guard.epoch VALUES ('public.users', '2', '2020-01-02', 'applied', '2020-01-01');
SELECT session_verdict(2, '2020-01-01'::timestamptz);
-- One that is: it rises,
INSERT INTO session_guard.epoch VALUES ('public.users', '1', '2020-01-03', 'applied', '2020-01-02'), ('public.users', '2', '2020-01-03', 'applied', '2020-01-02');
INSERT INTO session_guard.guard_epoch VALUES ('public.users', '2019-01-03', 'applied', '2019-01-02');
INSERT INTO session_guard.token_epoch VALUES ('embedded', 's', '2020-01-03', 'applied', '2020-01-02'), ('embedded', NULL, '2020-01-03', 'applied', '2020-01-02');
SELECT * FROM epochs ORDER BY of, key;
SELECT session_verdict(1, '2020-01-02'::timestamptz), session_verdict(3, '2019-01-02'::timestamptz), token_valid('embedded', 's', '2020-01-02'::timestamptz);
-- and does not fall,
INSERT INTO session_guard.epoch VALUES ('public.users', '1', '2020-01-01', 'late', '2020-01-01');
INSERT INTO session_guard.guard_epoch VALUES ('public.users', '2018-01-01', 'late', '2018-01-01'), ('public.users', '-infinity', 'late', '2018-01-01');
INSERT INTO session_guard.token_epoch VALUES ('embedded', 's', '2020-01-01', 'late', '2020-01-01'), ('embedded', NULL, '2020-01-01', 'late', '2020-01-01');
UPDATE session_guard.epoch SET epoch = '2020-01-01', reason = 'late';
UPDATE session_guard.guard_epoch SET epoch = '-infinity', reason = 'late';
UPDATE session_guard.token_epoch SET epoch = '2020-01-01', reason = 'late';
SELECT DISTINCT reason FROM epochs;
-- nor is it forgotten: each server does that for itself.
DELETE FROM session_guard.epoch;
DELETE FROM session_guard.guard_epoch;
DELETE FROM session_guard.token_epoch;
SELECT count(*) FROM epochs;
-- An event raises the epoch, too: the row that it names may be another one here.
INSERT INTO session_guard.event (at, guard, user_id, scope, subject, epoch, reason, login_role, acting_role, transaction_id) VALUES
    ('2020-01-04', 'public.users', '1', NULL, NULL, '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2020-01-04', 'public.users', '3', NULL, NULL, '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2020-01-04', 'public.users', NULL, NULL, NULL, '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2020-01-04', NULL, NULL, 'embedded', 's', '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2020-01-04', NULL, NULL, 'embedded', 't', '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2020-01-04', NULL, NULL, 'embedded', NULL, '2020-01-05', 'sent', 'r', 'r', '1'),
    ('2019-01-04', 'public.users', '1', NULL, NULL, '2019-01-05', 'outdated', 'r', 'r', '1');
DELETE FROM session_guard.event;
SELECT * FROM epochs ORDER BY of, key;

-- What this server itself stamps meanwhile rises past what is there; once for each second of the clock.
SELECT clock_timestamp() AS began \gset
CREATE TABLE stamped AS
    SELECT session_guard.revoke_sessions(n), session_guard.revoke_tokens('embedded', 's') AS token, session_guard.revoke_tokens('embedded') AS tokens
    FROM (VALUES (1), (1), (2)) AS u (n);
SELECT min(revoke_sessions) > '2026-01-01' AND greatest(count(DISTINCT date_trunc('second', token)), count(DISTINCT date_trunc('second', tokens))) <= 2 + extract(epoch FROM clock_timestamp() - :'began') AND min(token) > '2026-01-01' AS risen FROM stamped;
SELECT session_guard.revoke_all_sessions() > '2026-01-01' AS risen;
UPDATE users SET active = NOT active WHERE id IN (1, 4);
SELECT user_id, reason, epoch > '2026-01-01' AS risen FROM session_guard.epoch ORDER BY user_id;

-- A guard and a watch that are here stay as they are; others come, and are no default beside the one that is here.
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column, is_default) VALUES ('public.users', 'elsewhere', 'users', 'somebody', 'id', 'active', true);
INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column, is_default) VALUES ('public.others', 'public', 'others', current_user, 'id', 'active', true);
INSERT INTO session_guard.watch VALUES ('public.users', 'public.user_role', 'public', 'user_role', current_user, 'user_id', '{none}'),
    ('public.others', 'public.other_role', 'public', 'other_role', current_user, 'user_id', NULL);
UPDATE session_guard.guard SET max_session_age = '1 h';
UPDATE session_guard.watch SET columns = '{none}';
DELETE FROM session_guard.guard;
DELETE FROM session_guard.watch;
SELECT name, schema_name, table_name, table_owner = current_user AS is_owner, is_default, max_session_age FROM session_guard.guard ORDER BY name;
SELECT guard, table_name, columns FROM session_guard.watch ORDER BY table_name;
-- Nor are policies: each server has its own.
INSERT INTO session_guard.policy (when_disarmed) VALUES ('refuse');
UPDATE session_guard.policy SET audit = false;
DELETE FROM session_guard.policy;
SELECT when_disarmed, audit FROM session_guard.policy;
-- The timelines of another cluster are not for here.
INSERT INTO session_guard.timeline (cluster, timeline, acknowledged_by) SELECT cluster, timeline + n, 'applied' FROM session_guard.timeline, generate_series(0, 1) AS n;
SELECT count(*) FROM session_guard.timeline WHERE acknowledged_by = 'applied';

-- By hand an epoch is what it is made.
RESET session_replication_role;
UPDATE session_guard.epoch SET epoch = '2020-01-01' WHERE user_id = '4';
SELECT epoch FROM session_guard.epoch WHERE user_id = '4';

-- Triggers that were switched off and on, as by pg_restore --disable-triggers, do not fire for what comes.
ALTER TABLE session_guard.epoch DISABLE TRIGGER ALL, ENABLE TRIGGER ALL;
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'logical_replication';
SELECT remedy FROM session_guard.health() WHERE check_name = 'logical_replication' \gexec
SELECT ok, detail FROM session_guard.health() WHERE check_name = 'logical_replication';

-- On a table of somebody else's the function does nothing.
CREATE TABLE foreign_table (a int);
CREATE TRIGGER foreign_apply BEFORE INSERT OR UPDATE ON foreign_table FOR EACH ROW EXECUTE FUNCTION session_guard.apply_replicated();
CREATE TRIGGER foreign_changed AFTER INSERT OR UPDATE ON foreign_table FOR EACH ROW EXECUTE FUNCTION session_guard.guard_changed();
INSERT INTO foreign_table VALUES (1);
UPDATE foreign_table SET a = 2 RETURNING a;
DROP TABLE foreign_table;

DROP VIEW epochs;
DROP EXTENSION pg_session_guard;
DROP TABLE users, user_role, others, other_role, stamped;
