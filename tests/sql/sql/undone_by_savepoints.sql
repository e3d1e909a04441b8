-- What a savepoint undoes leaves nothing behind, whatever it was and however the transaction ends: no epoch, no event, no session ended.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
CREATE TABLE users (id int PRIMARY KEY, valid_until timestamptz, password text);
CREATE TABLE role (user_id int, name text);
CREATE TABLE session (user_id int);
INSERT INTO users SELECT g, now() + interval '1 hour' FROM generate_series(1, 9) AS g;
INSERT INTO users VALUES (10, '-infinity');
INSERT INTO role SELECT id, 'a' FROM users;
INSERT INTO session SELECT id FROM users;
SELECT session_guard.attach('users', active_column => 'valid_until', active_when => 'future', revoke_on => '{password}') >= 0,
       session_guard.watch('role', 'user_id'), session_guard.add_store('session', 'user_id');
SELECT session_guard.configure(audit => true);
SELECT session_guard.revoke_sessions(1) IS NOT NULL, session_guard.revoke_tokens('thing', '1') IS NOT NULL;

CREATE VIEW everything AS
    SELECT md5(string_agg(t, '' ORDER BY t COLLATE "C")) AS everything
    FROM (SELECT e::text FROM session_guard.epoch AS e UNION ALL SELECT g::text FROM session_guard.guard_epoch AS g
          UNION ALL SELECT k::text FROM session_guard.token_epoch AS k UNION ALL SELECT v::text FROM session_guard.event AS v
          UNION ALL SELECT s::text FROM session AS s UNION ALL SELECT u::text FROM users AS u) AS t(t);
CREATE TABLE change (id int PRIMARY KEY, statement text);
INSERT INTO change VALUES
    (1, 'UPDATE users SET valid_until = ''-infinity'' WHERE id = 2'),
    (2, 'UPDATE users SET valid_until = ''infinity'' WHERE id = 10'),
    (3, 'UPDATE users SET valid_until = now() + interval ''2 hours'' WHERE id = 3'),
    (4, 'UPDATE users SET valid_until = NULL'),
    (5, 'UPDATE users SET valid_until = now() + interval ''1 min'' WHERE id = 3'),
    (6, 'UPDATE users SET password = ''new'' WHERE id = 4'),
    (7, 'UPDATE users SET id = 11 WHERE id = 5'),
    (8, 'DELETE FROM users WHERE id = 6'),
    (9, 'INSERT INTO users VALUES (12, ''infinity'')'),
    (10, 'INSERT INTO users VALUES (7, ''-infinity'') ON CONFLICT (id) DO UPDATE SET valid_until = EXCLUDED.valid_until'),
    (11, 'TRUNCATE users'),
    (12, 'INSERT INTO role VALUES (8, ''b'')'),
    (13, 'UPDATE role SET name = ''b'''),
    (14, 'DELETE FROM role WHERE user_id = 9'),
    (15, 'TRUNCATE role'),
    (16, 'SELECT FROM (SELECT session_guard.revoke_sessions(9)) AS revoked'),
    (17, 'SELECT FROM (SELECT session_guard.revoke_all_sessions()) AS revoked'),
    (18, 'SELECT FROM (SELECT session_guard.revoke_tokens(''thing'', ''1'')) AS revoked'),
    (19, 'SELECT FROM (SELECT session_guard.revoke_tokens(''thing'')) AS revoked'),
    (20, 'INSERT INTO session_guard.epoch (guard, user_id, epoch) SELECT guard, ''9'', now() FROM session_guard.guard_epoch');

-- Each is rolled back to its savepoint; and, nested, once by an outer savepoint and then by a later one.
CREATE TABLE ending (id int PRIMARY KEY, first text, second text);
INSERT INTO ending VALUES (1, 'COMMIT', NULL), (2, 'PREPARE TRANSACTION ''undone''', 'COMMIT PREPARED ''undone''');
CREATE TABLE outcome (change text, way text, has_changed boolean);
SELECT everything AS before FROM everything \gset
\set ECHO none
\o /dev/null
SELECT 'BEGIN', 'SAVEPOINT a', statement, 'ROLLBACK TO a', ending.first, ending.second,
       format('INSERT INTO outcome SELECT %L, %L, everything <> %L FROM everything', statement, ending.first, :'before')
FROM change, ending ORDER BY ending.id, change.id \gexec
SELECT 'BEGIN', 'SAVEPOINT a', 'SAVEPOINT b', statement, 'RELEASE b', 'ROLLBACK TO a', 'SAVEPOINT c', statement, 'ROLLBACK TO c', 'RELEASE a',
       ending.first, ending.second,
       format('INSERT INTO outcome SELECT %L, %L, everything <> %L FROM everything', statement, 'nested: ' || ending.first, :'before')
FROM change, ending ORDER BY ending.id, change.id \gexec
\o
\set ECHO all
SELECT way, count(*) FROM outcome GROUP BY way ORDER BY way;
SELECT change, way FROM outcome WHERE has_changed;

-- What is kept changes something.
SELECT 'BEGIN', 'SAVEPOINT a', statement, 'RELEASE a', 'COMMIT' FROM change WHERE id = 3 \gexec
SELECT count(*) FILTER (WHERE everything <> :'before') AS differs FROM everything;
SELECT count(*) AS sessions FROM session;
SELECT 'BEGIN', 'SAVEPOINT a', statement, 'RELEASE a', 'PREPARE TRANSACTION ''kept''', 'COMMIT PREPARED ''kept''' FROM change WHERE id = 12 \gexec
SELECT count(*) AS sessions FROM session;
DROP VIEW everything;
DROP EXTENSION pg_session_guard;
DROP TABLE users, role, session, change, ending, outcome;
