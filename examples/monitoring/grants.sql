-- The least that queries.yaml needs. Give the role a way to log in.

-- Once for the cluster, as a superuser. In a second database, leave these two out.
CREATE ROLE guard_monitor LOGIN;
-- Which standbys there are, and how far they are behind. pg_monitor has it, and more.
GRANT pg_read_all_stats TO guard_monitor;

-- In each database that has a guard, as the owner of the database or a superuser.
GRANT USAGE ON SCHEMA session_guard TO guard_monitor;
GRANT EXECUTE ON FUNCTION session_guard.health() TO guard_monitor;
-- Neither whose epoch it is, nor who caused an event.
GRANT SELECT (detached_at) ON session_guard.guard TO guard_monitor;
GRANT SELECT (guard, reason) ON session_guard.epoch TO guard_monitor;
GRANT SELECT (at, reason) ON session_guard.event TO guard_monitor;
