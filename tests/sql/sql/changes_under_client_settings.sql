-- What a client sets hides no change of a column that ends sessions: columns are compared byte by byte.
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE users (id int PRIMARY KEY, active boolean);
CREATE TABLE role (user_id int, note text);
INSERT INTO users VALUES (1, true);
INSERT INTO role VALUES (1, 'old');
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('users'), session_guard.watch('role', 'user_id');

-- How many stamps the change of one column makes: of the users table, of a watched column, of a watched table.
CREATE PROCEDURE change(column_type text, old_value text, new_value text, INOUT of_users bigint, INOUT of_column bigint, INOUT of_table bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE users ADD COLUMN c %s; ALTER TABLE role ADD COLUMN c %1$s', column_type);
    EXECUTE format('UPDATE users SET c = %L; UPDATE role SET c = %1$L', old_value);
    PERFORM session_guard.attach('users', revoke_on => '{c}');
    PERFORM session_guard.watch('role', 'user_id', '{c}');
    COMMIT;
    DELETE FROM session_guard.event;
    EXECUTE format('UPDATE users SET c = %L', new_value);
    COMMIT;
    DELETE FROM session_guard.event RETURNING 1 INTO of_users;
    COMMIT;
    EXECUTE format('UPDATE role SET c = %L', new_value);
    COMMIT;
    DELETE FROM session_guard.event RETURNING 1 INTO of_column;
    PERFORM session_guard.watch('role', 'user_id');
    EXECUTE format('UPDATE role SET c = %L', old_value);
    COMMIT;
    DELETE FROM session_guard.event RETURNING 1 INTO of_table;
    PERFORM session_guard.attach('users', revoke_on => '{}');
    ALTER TABLE users DROP COLUMN c;
    ALTER TABLE role DROP COLUMN c;
    COMMIT;
END $$;

SET extra_float_digits = -15;
CALL change('double precision', '0.1', '0.2', NULL, NULL, NULL);
CALL change('double precision', '0.1', '0.10000001', NULL, NULL, NULL);
CALL change('real', '0.1', '0.1000001', NULL, NULL, NULL);
CALL change('double precision[]', '{1,2.1}', '{1,2.10000001}', NULL, NULL, NULL);
CALL change('point', '(1,2.1)', '(1,2.10000001)', NULL, NULL, NULL);
RESET extra_float_digits;

-- Two instants that are written alike.
SET DateStyle = 'German';
SET TimeZone = 'XXX-1XXX-2,M3.5.0,M10.5.0';
SELECT '2026-10-25 00:30+00'::timestamptz::text = '2026-10-24 23:30+00'::timestamptz::text AS are_written_alike;
CALL change('timestamptz', '2026-10-25 00:30+00', '2026-10-24 23:30+00', NULL, NULL, NULL);
RESET DateStyle;
RESET TimeZone;

-- Values that their types call equal, and others.
CALL change('oid', '1', '2', NULL, NULL, NULL);
CALL change('money', '1.00', '1.01', NULL, NULL, NULL);
CALL change('interval', '1 day', '24 hours', NULL, NULL, NULL);
CALL change('numeric', '1.0', '1.00', NULL, NULL, NULL);
CALL change('json', '{"a": 1}', '{"a":1}', NULL, NULL, NULL);
CALL change('mood', 'calm', 'cross', NULL, NULL, NULL);
CALL change('text', NULL, '', NULL, NULL, NULL);

-- The same value, written again, stamps nothing: also where it is stored elsewhere.
CALL change('double precision', '0.1', '0.1', NULL, NULL, NULL);
CALL change('jsonb', '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', NULL, NULL, NULL);
CALL change('text', NULL, NULL, NULL, NULL, NULL);
SELECT string_agg(md5(n::text), '') AS long FROM generate_series(1, 1000) AS n \gset
CALL change('text', :'long', :'long', NULL, NULL, NULL);
DROP EXTENSION pg_session_guard;
DROP TABLE users, role;
DROP PROCEDURE change;
DROP TYPE mood;
