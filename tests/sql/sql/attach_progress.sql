-- attach() says how far it is, by NOTICE, and only to who asks for it: at a client_min_messages of log.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE TABLE many (id int PRIMARY KEY, active boolean NOT NULL) WITH (autovacuum_enabled = false);
INSERT INTO many SELECT n, n % 5 <> 0 FROM generate_series(1, 120000) AS n;

-- Not by default.
SELECT session_guard.attach('many', is_default => false);

-- Again, as of a table that nobody has counted.
SELECT session_guard.detach('many', forget => true);
SET client_min_messages = log;
SELECT session_guard.attach('many', is_default => false);

-- What is there already is not stamped anew, and a counted table has a number to compare with.
ANALYZE many;
SELECT session_guard.attach('many', is_default => false);

-- Partitions count together.
SELECT session_guard.detach('many', forget => true);
DROP TABLE many;
CREATE TABLE many (id int PRIMARY KEY, active boolean NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE many_1 PARTITION OF many FOR VALUES FROM (1) TO (60001) WITH (autovacuum_enabled = false);
CREATE TABLE many_2 PARTITION OF many FOR VALUES FROM (60001) TO (120001) WITH (autovacuum_enabled = false);
INSERT INTO many SELECT n, n % 5 <> 0 FROM generate_series(1, 120000) AS n;
ANALYZE many_1, many_2;
SELECT session_guard.attach('many', is_default => false);
RESET client_min_messages;
SELECT session_guard.detach('many', forget => true);
DROP TABLE many;
DROP EXTENSION pg_session_guard;
