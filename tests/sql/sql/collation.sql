-- attach refuses a text id whose collation is not deterministic: two different texts could be one id.
-- Only ICU has such collations.
SELECT NOT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS is_without_icu \gset
\if :is_without_icu
\quit
\endif
CREATE EXTENSION pg_session_guard;
CREATE COLLATION nondeterministic (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE users (id text COLLATE nondeterministic PRIMARY KEY, active boolean);
SELECT session_guard.attach('users');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM session_guard.guard;

DROP EXTENSION pg_session_guard;
DROP TABLE users;
DROP COLLATION nondeterministic;
