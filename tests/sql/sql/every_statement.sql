-- Every statement that disables an account ends its sessions for good. Each is checked while the change is open,
-- after its commit, and when the account is as it had been; and so is a login after that.
CREATE TABLE users (id int PRIMARY KEY, name text, active boolean DEFAULT true);
INSERT INTO users SELECT n, 'user' || n FROM generate_series(1, 70) AS n;
CREATE TABLE wanted (id int, active boolean);
-- Planned before there was a guard.
SET plan_cache_mode = force_generic_plan;
PREPARE enable(int, boolean) AS UPDATE users SET active = $2 WHERE id = $1;
EXECUTE enable(0, false);
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users');

-- A path reads: CALL log_in(ids); BEGIN; the change; :commit what undoes it; :after
CREATE TABLE login (user_id int PRIMARY KEY, login_at timestamptz, before text, during text, committed text);
CREATE PROCEDURE log_in(VARIADIC ids int[]) LANGUAGE sql AS $$
    DELETE FROM login;
    INSERT INTO login SELECT id, session_start(id) FROM unnest(ids) AS id;
    UPDATE login SET before = session_verdict(user_id, login_at);
$$;
CREATE FUNCTION verdict_of_new_login(who int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE login timestamptz := session_start(who);
BEGIN
    RETURN CASE WHEN login IS NULL THEN 'no login' ELSE session_verdict(who, login) END;
END $$;
\set during 'UPDATE login SET during = session_verdict(user_id, login_at);'
\set commit :during ' COMMIT; UPDATE login SET committed = session_verdict(user_id, login_at);'
\set after 'SELECT user_id, before, during, committed, session_verdict(user_id, login_at) AS after, verdict_of_new_login(user_id) AS new_login FROM login ORDER BY user_id;'

-- UPDATE of one.
CALL log_in(1); BEGIN;
UPDATE users SET active = false WHERE id = 1;
:commit
UPDATE users SET active = true WHERE id = 1;
:after

-- To NULL, and back.
CALL log_in(2); BEGIN;
UPDATE users SET active = NULL WHERE id = 2;
:commit
UPDATE users SET active = true WHERE id = 2;
:after

-- Of many; the others go on.
CALL log_in(3, 4, 5); BEGIN;
UPDATE users SET active = false WHERE id IN (3, 4);
:commit
UPDATE users SET active = true WHERE NOT active;
:after

-- Off and on in one transaction.
CALL log_in(6); BEGIN;
UPDATE users SET active = false WHERE id = 6;
UPDATE users SET active = true WHERE id = 6;
:commit
:after

-- UPDATE … FROM.
INSERT INTO wanted VALUES (7, false);
CALL log_in(7); BEGIN;
UPDATE users SET active = wanted.active FROM wanted WHERE wanted.id = users.id;
:commit
UPDATE users SET active = true FROM wanted WHERE wanted.id = users.id;
:after

-- In a WITH, whether anybody reads its result or not.
CALL log_in(8, 9); BEGIN;
WITH one AS (UPDATE users SET active = false WHERE id = 8 RETURNING id), two AS (DELETE FROM users WHERE id = 9)
SELECT id FROM one;
:commit
WITH one AS (INSERT INTO users VALUES (9) RETURNING id) UPDATE users SET active = true FROM one WHERE users.id = 8;
:after

-- Through a view.
CREATE VIEW people AS SELECT id AS number, active AS may_log_in FROM users;
CALL log_in(10, 11); BEGIN;
UPDATE people SET may_log_in = false WHERE number = 10;
DELETE FROM people WHERE number = 11;
:commit
UPDATE people SET may_log_in = true WHERE number = 10;
INSERT INTO people VALUES (11, true);
:after

-- By a rule of a view, and by one of the table itself.
CREATE VIEW staff AS SELECT id FROM users WHERE active;
CREATE RULE dismiss AS ON DELETE TO staff DO INSTEAD UPDATE users SET active = false WHERE id = OLD.id;
CREATE RULE keep AS ON DELETE TO users WHERE OLD.name = 'keep' DO INSTEAD UPDATE users SET active = false WHERE id = OLD.id;
UPDATE users SET name = 'keep' WHERE id = 13;
CALL log_in(12, 13); BEGIN;
DELETE FROM staff WHERE id = 12;
DELETE FROM users WHERE id = 13;
:commit
UPDATE users SET active = true WHERE id IN (12, 13);
:after
DROP RULE keep ON users;

-- By triggers: of a view, of the row before it changes, in place of a DELETE, of another table.
CREATE FUNCTION disable_old() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE users SET active = false WHERE id = OLD.id; RETURN NULL; END $$;
CREATE FUNCTION disable_new() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.active := false; RETURN NEW; END $$;
CREATE VIEW guests AS SELECT id FROM users GROUP BY id;
CREATE TRIGGER leave INSTEAD OF DELETE ON guests FOR EACH ROW EXECUTE FUNCTION disable_old();
CREATE TRIGGER flip BEFORE UPDATE OF name ON users FOR EACH ROW WHEN (NEW.name = 'flip') EXECUTE FUNCTION disable_new();
CREATE TRIGGER keep BEFORE DELETE ON users FOR EACH ROW WHEN (OLD.name = 'keep') EXECUTE FUNCTION disable_old();
CREATE TRIGGER dismiss AFTER DELETE ON wanted FOR EACH ROW EXECUTE FUNCTION disable_old();
INSERT INTO wanted VALUES (17, true);
UPDATE users SET name = 'keep' WHERE id = 16;
CALL log_in(14, 15, 16, 17); BEGIN;
DELETE FROM guests WHERE id = 14;
UPDATE users SET name = 'flip' WHERE id = 15;
DELETE FROM users WHERE id = 16;
DELETE FROM wanted WHERE id = 17;
:commit
UPDATE users SET active = true WHERE id BETWEEN 14 AND 17;
:after

-- What a trigger keeps from happening ends no session.
CREATE FUNCTION keep_active() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.active := OLD.active; RETURN NEW; END $$;
CREATE TRIGGER veto BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.name = 'root') EXECUTE FUNCTION keep_active();
UPDATE users SET name = 'root' WHERE id = 18;
CALL log_in(18); BEGIN;
UPDATE users SET active = false WHERE id = 18;
:commit
:after
DROP TRIGGER veto ON users;

-- In functions of each language, in a DO block, and in a string.
CREATE FUNCTION by_sql(who int) RETURNS void LANGUAGE sql AS 'UPDATE users SET active = false WHERE id = who';
CREATE FUNCTION by_plpgsql(who int) RETURNS void LANGUAGE plpgsql AS 'BEGIN UPDATE users SET active = false WHERE id = who; END';
CREATE FUNCTION by_string(who int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'UPDATE users SET active = false WHERE id = $1' USING who; END $$;
CALL log_in(19, 20, 21, 22); BEGIN;
DO $$ BEGIN PERFORM by_sql(19), by_plpgsql(20), by_string(21); DELETE FROM users WHERE id = 22; END $$;
:commit
UPDATE users SET active = true WHERE id BETWEEN 19 AND 21;
INSERT INTO users VALUES (22);
:after

-- INSERT … ON CONFLICT, with and without a change.
CALL log_in(23, 24); BEGIN;
INSERT INTO users VALUES (23, 'x', false), (24, 'x', true) ON CONFLICT (id) DO UPDATE SET active = EXCLUDED.active;
INSERT INTO users VALUES (24, 'x', false) ON CONFLICT DO NOTHING;
:commit
INSERT INTO users VALUES (23, 'x', true) ON CONFLICT (id) DO UPDATE SET active = EXCLUDED.active;
:after

-- MERGE.
DELETE FROM wanted;
INSERT INTO wanted VALUES (25, false), (26, NULL), (27, true);
CALL log_in(25, 26, 27); BEGIN;
MERGE INTO users USING wanted ON users.id = wanted.id
    WHEN MATCHED AND wanted.active IS NULL THEN DELETE
    WHEN MATCHED THEN UPDATE SET active = wanted.active;
:commit
MERGE INTO users USING wanted ON users.id = wanted.id
    WHEN MATCHED THEN UPDATE SET active = true
    WHEN NOT MATCHED THEN INSERT VALUES (wanted.id);
:after

-- DELETE, and the id again: by INSERT, in the same transaction, by COPY.
CALL log_in(28, 29, 30); BEGIN;
DELETE FROM users WHERE id IN (28, 29, 30);
INSERT INTO users VALUES (29);
:commit
INSERT INTO users SELECT 28;
COPY users (id, name) FROM stdin;
30	user30
\.
:after

-- DELETE … USING.
CALL log_in(27); BEGIN;
DELETE FROM users USING wanted WHERE users.id = wanted.id AND wanted.id = 27;
:commit
INSERT INTO users VALUES (27);
:after

-- A change of the id: whose it was, and whose it is now. A session of the old id is not the new one's either.
CALL log_in(31, 32); BEGIN;
UPDATE users SET id = 131 WHERE id = 31;
SELECT session_verdict(131, login_at) FROM login WHERE user_id = 31;
:commit
SELECT session_verdict(131, login_at), verdict_of_new_login(131) FROM login WHERE user_id = 31;
UPDATE users SET id = 31 WHERE id = 131;
:after
-- One that takes the id of another who has just left it.
CALL log_in(31, 32); BEGIN;
UPDATE users SET id = 132 WHERE id = 32;
UPDATE users SET id = 32 WHERE id = 31;
:commit
UPDATE users SET id = id - 1 WHERE id = 32;
UPDATE users SET id = 32 WHERE id = 132;
:after

-- As a replica.
CALL log_in(33, 34, 35);
SET session_replication_role = replica; BEGIN;
UPDATE users SET active = false WHERE id = 33;
DELETE FROM users WHERE id = 34;
UPDATE users SET id = 135 WHERE id = 35;
:commit
UPDATE users SET active = true WHERE id = 33;
INSERT INTO users VALUES (34);
UPDATE users SET id = 35 WHERE id = 135;
RESET session_replication_role;
:after

-- A statement that was prepared before there was a guard.
CALL log_in(36); BEGIN;
EXECUTE enable(36, false);
:commit
EXECUTE enable(36, true);
:after

-- Where a cursor stands.
CALL log_in(37, 38); BEGIN;
DECLARE c CURSOR FOR SELECT id FROM users WHERE id IN (37, 38) ORDER BY id FOR UPDATE;
MOVE 1 FROM c;
UPDATE users SET active = false WHERE CURRENT OF c;
MOVE 1 FROM c;
DELETE FROM users WHERE CURRENT OF c;
:commit
UPDATE users SET active = true WHERE id = 37;
INSERT INTO users VALUES (38);
:after
-- In a loop.
CALL log_in(39); BEGIN;
DO $$
DECLARE c CURSOR FOR SELECT * FROM users WHERE id = 39 FOR UPDATE;
BEGIN
    FOR u IN c LOOP
        UPDATE users SET active = false WHERE CURRENT OF c;
    END LOOP;
END $$;
:commit
UPDATE users SET active = true WHERE id = 39;
:after

-- Undone with its savepoint: nothing has happened.
CALL log_in(40); BEGIN;
SAVEPOINT s;
UPDATE users SET active = false WHERE id = 40;
:during
SELECT during FROM login;
ROLLBACK TO s;
:commit
:after
-- Undone with the transaction.
CALL log_in(41, 42); BEGIN;
SAVEPOINT s;
UPDATE users SET active = false WHERE id = 41;
DELETE FROM users WHERE id = 42;
RELEASE s;
:during
SELECT user_id, during FROM login;
ROLLBACK;
:after
-- The second disabling is undone, and with it nothing of the enabling.
CALL log_in(43);
UPDATE users SET active = false WHERE id = 43;
BEGIN;
UPDATE users SET active = true WHERE id = 43;
SAVEPOINT s;
UPDATE users SET active = false WHERE id = 43;
ROLLBACK TO s;
:commit
:after

-- By foreign keys of the table of users: its ids follow those of another table, and go with them.
CREATE TABLE person (id int PRIMARY KEY);
INSERT INTO person SELECT id FROM users;
ALTER TABLE users ADD CONSTRAINT follow FOREIGN KEY (id) REFERENCES person ON UPDATE CASCADE ON DELETE CASCADE;
CALL log_in(44, 45); BEGIN;
UPDATE person SET id = 144 WHERE id = 44;
DELETE FROM person WHERE id = 45;
SELECT session_verdict(144, login_at) FROM login WHERE user_id = 44;
:commit
UPDATE person SET id = 44 WHERE id = 144;
INSERT INTO person VALUES (45);
INSERT INTO users VALUES (45);
:after
-- TRUNCATE of that table.
CREATE TABLE kept AS SELECT * FROM users;
CALL log_in(46, 47); BEGIN;
TRUNCATE person CASCADE;
:commit
INSERT INTO person SELECT id FROM kept;
INSERT INTO users SELECT * FROM kept;
:after
ALTER TABLE users DROP CONSTRAINT follow;

-- Accounts that go with another account.
ALTER TABLE users ADD invited_by int CONSTRAINT invitation REFERENCES users ON DELETE CASCADE;
UPDATE users SET invited_by = id - 1 WHERE id IN (49, 50);
CALL log_in(48, 49, 50); BEGIN;
DELETE FROM users WHERE id = 48;
:commit
INSERT INTO users VALUES (48), (49), (50);
:after
ALTER TABLE users DROP invited_by;

-- The active column follows another table, or becomes NULL or its default without it.
CREATE TABLE state (active boolean PRIMARY KEY);
INSERT INTO state VALUES (true), (false);
ALTER TABLE users ALTER active SET DEFAULT false, ADD CONSTRAINT state FOREIGN KEY (active) REFERENCES state ON DELETE SET DEFAULT;
CALL log_in(51); BEGIN;
DELETE FROM state WHERE active;
:commit
INSERT INTO state VALUES (true);
UPDATE users SET active = true;
:after
ALTER TABLE users ALTER active SET DEFAULT true, DROP CONSTRAINT state,
    ADD CONSTRAINT state FOREIGN KEY (active) REFERENCES state ON UPDATE CASCADE ON DELETE SET NULL;
CALL log_in(52); BEGIN;
DELETE FROM state WHERE active;
:commit
INSERT INTO state VALUES (true);
UPDATE users SET active = true;
:after
DELETE FROM state WHERE NOT active;
CALL log_in(53); BEGIN;
UPDATE state SET active = false;
:commit
UPDATE state SET active = true;
:after
ALTER TABLE users DROP CONSTRAINT state;

-- TRUNCATE.
CALL log_in(54, 55); BEGIN;
TRUNCATE users;
:commit
INSERT INTO users SELECT * FROM kept;
:after
-- Undone.
CALL log_in(54, 55); BEGIN;
TRUNCATE users;
:during
SELECT user_id, during FROM login;
ROLLBACK;
:after
-- As a replica, in the transaction that fills the table again.
CALL log_in(56); BEGIN;
SET LOCAL session_replication_role = replica;
TRUNCATE users;
INSERT INTO users SELECT * FROM kept;
:commit
:after

-- A column that follows from others.
ALTER TABLE users ADD enabled boolean GENERATED ALWAYS AS (name <> 'gone') STORED;
SELECT session_guard.attach('users', active_column => 'enabled');
CALL log_in(57, 58); BEGIN;
UPDATE users SET name = 'gone' WHERE id = 57;
UPDATE users SET name = NULL WHERE id = 58;
:commit
UPDATE users SET name = 'back' WHERE id IN (57, 58);
:after

-- By all these paths the guard stayed as it was.
SELECT check_name, ok, detail FROM session_guard.health() WHERE guard IS NOT NULL;

DEALLOCATE enable;
RESET plan_cache_mode;
DROP EXTENSION pg_session_guard;
DROP VIEW people, staff, guests;
DROP TABLE users, wanted, login, person, kept, state;
DROP PROCEDURE log_in;
DROP FUNCTION verdict_of_new_login, disable_old, disable_new, keep_active, by_sql, by_plpgsql, by_string;
