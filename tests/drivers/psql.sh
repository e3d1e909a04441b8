#!/bin/sh
# psql: values are literals; a statement is prepared by PREPARE, with the types that its caller declares. The first
# psql writes what the second one runs.
psql --no-psqlrc --quiet --tuples-only --no-align <<'SQL' | psql --no-psqlrc --quiet --tuples-only --no-align 2>/dev/null
WITH typed AS (
    SELECT *, CASE id_as WHEN 'null' THEN 'NULL' WHEN 'uuid' THEN quote_literal(id) || '::uuid' WHEN 'text' THEN quote_literal(id)
                  WHEN 'numeric' THEN id || '::numeric' ELSE id END AS id_value,
        CASE id_as WHEN 'null' THEN 'text' ELSE id_as END AS id_type,
        CASE login_as WHEN 'naive' THEN 'timestamp' ELSE 'timestamptz' END AS login_type
    FROM cases
), called AS (
    SELECT *, format('session_start(%s)', concat_ws(', ', quote_literal(guard), id_value)) AS start,
        concat_ws(', ', CASE ask WHEN 'token' THEN 'text' WHEN 'session' THEN CASE WHEN guard IS NOT NULL THEN 'regclass' END END, id_type, login_type) AS types
    FROM typed
), valued AS (
    SELECT *, concat_ws(', ', quote_literal(guard), id_value,
        CASE login_as WHEN 'null' THEN 'NULL' WHEN 'started' THEN start WHEN 'text' THEN quote_literal(login)
            ELSE quote_literal(login) || '::' || login_type END) AS values,
        (SELECT string_agg('$' || n, ', ') FROM generate_series(1, 2 + (guard IS NOT NULL)::int) AS n) AS places
    FROM called
), statement AS (
    SELECT name, guard, call, 'literals' AS way, format('SELECT %s(%s) AS answer \gset', call, values) AS first, NULL AS second
    FROM valued, unnest(CASE ask WHEN 'session' THEN '{session_verdict,session_valid}' ELSE '{token_valid}' END::text[]) AS call
    WHERE ask <> 'round trip'
    UNION ALL
    SELECT name, guard, call, 'prepared', format('DEALLOCATE ALL; PREPARE ask(%s) AS SELECT %s(%s) AS answer;', types, call, places),
        format('EXECUTE ask(%s) \gset', CASE login_as WHEN 'started' THEN replace(values, start, '(SELECT ' || start || ')') ELSE values END)
    FROM valued, unnest(CASE ask WHEN 'session' THEN '{session_verdict,session_valid}' ELSE '{token_valid}' END::text[]) AS call
    WHERE ask <> 'round trip' AND login_as <> 'started'
    UNION ALL
    SELECT name, guard, 'round_trip', 'literals', '\set id ' || quote_literal(id_value) || $psql$
SELECT stamp((:id)::text) \gset
SELECT session_start(:id) AS login_at \gset
SELECT session_valid(:id, :'login_at') AS before \gset
SELECT stamp((:id)::text) \gset
SELECT :'before' || ' ' || session_valid(:id, :'login_at') AS answer \gset$psql$, NULL
    FROM valued WHERE ask = 'round trip'
)
SELECT concat_ws(E'\n', '\unset answer', first, '\if :ERROR', format('\echo ''%s\t%s\t%s\t%s\terror'' :SQLSTATE', name, guard, call, way),
    '\else', second, '\if :ERROR', format('\echo ''%s\t%s\t%s\t%s\terror'' :SQLSTATE', name, guard, call, way),
    '\else', format('\echo ''%s\t%s\t%s\t%s\t'':answer', name, guard, call, way), '\endif', '\endif')
FROM statement ORDER BY name, guard;
SQL
