-- Which changes of a users table stamp, which do not, and what epoch they give.
CREATE TABLE ab_user (id int PRIMARY KEY, username text, active boolean DEFAULT true, password text, last_login timestamp, login_count int);
INSERT INTO ab_user (id, username, active) SELECT n, 'user' || n, true FROM generate_series(1, 20) AS n;
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('ab_user', revoke_on => '{password}');
-- A login of just now, and what became of it: the reason of the stamp, or nothing. Of two ids the second is stamped a
-- millisecond past the first.
CREATE FUNCTION login() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
CREATE FUNCTION stamps() RETURNS TABLE (user_id text, reason text, is_whole_second boolean, is_past_now boolean)
LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM session_guard.epoch RETURNING *)
    SELECT user_id, reason,
           epoch - date_trunc('second', epoch) <= CASE reason WHEN 'id_changed' THEN interval '3 ms' ELSE '0' END,
           epoch > stamped_at AND epoch <= stamped_at + interval '1.003 s' FROM gone ORDER BY user_id::int
$$;

-- An INSERT on a fresh id stamps nothing, disabled or not.
INSERT INTO ab_user (id, active) VALUES (21, true), (22, false);
SELECT * FROM stamps();

-- Neither does an UPDATE of what is of no interest, nor one that writes the same values.
UPDATE ab_user SET last_login = now(), login_count = 1, username = 'x';
UPDATE ab_user SET active = active, id = id, password = password;
SELECT * FROM stamps();

-- Any change of whether the account is active: to false, to true, to and from NULL, which is as false.
UPDATE ab_user SET active = false WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = true WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = NULL WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = false WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = NULL WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = true WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = NULL WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET active = true WHERE id = 1;
SELECT * FROM stamps();

-- A change of the id: both ids.
UPDATE ab_user SET id = 101 WHERE id = 1;
SELECT * FROM stamps();
UPDATE ab_user SET id = 1, active = false WHERE id = 101;
SELECT * FROM stamps();
-- A login that was given out ahead of the clock does not count for the new id either.
UPDATE ab_user SET active = true WHERE id = 1;
SELECT session_start(1) AS login \gset
UPDATE ab_user SET id = 101 WHERE id = 1;
SELECT session_verdict(101, :'login'), session_guard.epoch_of(101) > session_guard.epoch_of(1) AS is_past_the_old;
UPDATE ab_user SET id = 1, active = false WHERE id = 101;
SELECT count(*) FROM stamps();
-- Two that swap their ids: all that is involved.
ALTER TABLE ab_user DROP CONSTRAINT ab_user_pkey, ADD UNIQUE (id) DEFERRABLE;
UPDATE ab_user SET id = 5 - id WHERE id IN (2, 3);
SELECT * FROM stamps();
ALTER TABLE ab_user DROP CONSTRAINT ab_user_id_key, ADD PRIMARY KEY (id);

-- DELETE leaves a tombstone, and an INSERT on it stamps again.
SELECT login() AS login \gset
DELETE FROM ab_user WHERE id = 4;
SELECT user_id, reason FROM session_guard.epoch;
SELECT session_verdict(4, :'login');
INSERT INTO ab_user (id, active) VALUES (4, true);
SELECT session_verdict(4, :'login');
SELECT user_id, reason FROM session_guard.epoch;
SELECT session_verdict(4, session_start(4));
SELECT count(*) FROM stamps();

-- A column of revoke_on, by value, not by the type's idea of equality.
UPDATE ab_user SET password = 'secret' WHERE id = 5;
SELECT * FROM stamps();
UPDATE ab_user SET password = 'secret' WHERE id = 5;
SELECT * FROM stamps();
UPDATE ab_user SET password = NULL WHERE id = 5;
SELECT * FROM stamps();
-- A long one, out of line.
UPDATE ab_user SET password = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n) WHERE id = 5;
SELECT count(*) FROM stamps();
UPDATE ab_user SET password = password || '', login_count = 2 WHERE id = 5;
SELECT count(*) FROM stamps();
UPDATE ab_user SET password = password || 'x' WHERE id = 5;
SELECT * FROM stamps();

-- Epochs rise strictly: twice in a second, from far ahead, never back; over one that is ahead by a millisecond.
SELECT login() AS login \gset
UPDATE ab_user SET active = false WHERE id = 6;
SELECT session_guard.epoch_of(6) AS first \gset
UPDATE ab_user SET active = true WHERE id = 6;
SELECT session_guard.epoch_of(6) - :'first' >= '1 ms' AS has_risen;
UPDATE session_guard.epoch SET epoch = '2100-01-01 00:00:00+00' WHERE user_id = '6';
UPDATE ab_user SET active = false WHERE id = 6;
SELECT session_guard.epoch_of(6) - '2100-01-01 00:00:00+00' AS risen_by;
-- Also from the guard's.
INSERT INTO session_guard.guard_epoch VALUES ('public.ab_user', '2101-01-01 00:00:00+00', 'by hand');
UPDATE ab_user SET active = true WHERE id = 6;
SELECT session_guard.epoch_of(6) - '2101-01-01 00:00:00+00' AS risen_by;
DELETE FROM session_guard.guard_epoch;
SELECT count(*) FROM stamps();

-- A margin for app servers whose clocks are ahead.
SELECT session_guard.configure(stamp_margin => '1 min');
UPDATE ab_user SET active = false WHERE id = 7;
SELECT epoch - stamped_at BETWEEN interval '1 min' AND interval '61 s' FROM session_guard.epoch;
SELECT session_guard.configure(stamp_margin => '0');
SELECT count(*) FROM stamps();

-- TRUNCATE: the guard's epoch, past those of users that are ahead.
INSERT INTO session_guard.epoch VALUES ('public.ab_user', '8', '2100-01-01 00:00:00+00', 'by hand'), ('public.ab_user', '9', '2001-01-01 00:00:00+00', 'by hand');
CREATE TABLE keep AS SELECT * FROM ab_user;
SELECT login() AS login \gset
TRUNCATE ab_user;
SELECT reason, epoch > stamped_at FROM session_guard.guard_epoch;
SELECT user_id, epoch AT TIME ZONE 'UTC' AS epoch FROM session_guard.epoch ORDER BY user_id;
TRUNCATE session_guard.epoch;
INSERT INTO ab_user SELECT * FROM keep;
SELECT session_verdict(10, :'login'), session_verdict(10, NULL::timestamptz), session_verdict(10, session_start(10));
SELECT * FROM stamps();

-- The clock is read when the row changes, not when the transaction began.
BEGIN;
SELECT now() AS began, pg_sleep(0.01) \gset
UPDATE ab_user SET active = false WHERE id = 11;
SELECT stamped_at > :'began'::timestamptz + interval '9 ms' FROM session_guard.epoch;
COMMIT;
SELECT count(*) FROM stamps();

-- Undone with the transaction, or with a savepoint.
SELECT session_verdict(12, :'login');
DELETE FROM session_guard.guard_epoch;
BEGIN;
UPDATE ab_user SET active = false WHERE id = 12;
SELECT session_verdict(12, :'login');
SAVEPOINT one;
UPDATE ab_user SET active = true WHERE id = 12;
SELECT session_verdict(12, :'login');
ROLLBACK TO one;
SELECT session_verdict(12, :'login');
ROLLBACK;
SELECT session_verdict(12, :'login');
SELECT * FROM stamps();

-- The triggers fire for a replica, too.
SET session_replication_role = replica;
UPDATE ab_user SET active = false WHERE id = 13;
RESET session_replication_role;
SELECT * FROM stamps();

-- By whatever statement.
INSERT INTO ab_user (id, active) VALUES (14, false) ON CONFLICT (id) DO UPDATE SET active = EXCLUDED.active;
WITH u AS (UPDATE ab_user SET active = false WHERE id = 15 RETURNING id) SELECT count(*) FROM u;
UPDATE ab_user SET active = false FROM keep WHERE keep.id = ab_user.id AND keep.id = 16;
CREATE FUNCTION flip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.active := false; RETURN NEW; END $$;
CREATE TRIGGER flip BEFORE UPDATE ON ab_user FOR EACH ROW WHEN (NEW.username = 'flip') EXECUTE FUNCTION flip();
UPDATE ab_user SET username = 'flip' WHERE id = 17;
SELECT * FROM stamps();

DROP EXTENSION pg_session_guard;
DROP TABLE ab_user, keep;
DROP FUNCTION login, stamps, flip;
