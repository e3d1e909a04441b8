-- active_when as a list: the values of a text, an enum or a number for which accounts are active.
SET client_min_messages = warning;
CREATE EXTENSION pg_session_guard;
RESET client_min_messages;
CREATE TYPE stage AS ENUM ('trial', 'active', 'closed');
CREATE DOMAIN state AS text CHECK (value <> '');
CREATE TABLE members (id int PRIMARY KEY, t text, v varchar(20), c char(10), e stage, i2 smallint, i4 int, i8 bigint, d state);
INSERT INTO members SELECT id, s, s, s, s::stage, n, n, n, s FROM (VALUES (1, 'trial', 1), (2, 'active', 2), (3, 'closed', 3), (4, NULL, NULL)) AS v (id, s, n);
CREATE PROCEDURE show_verdicts(status text, form text) LANGUAGE plpgsql AS $$
DECLARE verdicts text;
BEGIN
    SET LOCAL client_min_messages = warning;
    PERFORM session_guard.attach('members', active_column => status, active_when => form);
    DELETE FROM session_guard.epoch;
    COMMIT;
    SELECT string_agg(session_verdict('members', id, now()), ' ' ORDER BY id) INTO verdicts FROM members;
    RAISE INFO '% %: %', status, form, verdicts;
END $$;
CALL show_verdicts('t', '{trial,active}');
CALL show_verdicts('v', '{trial,active}');
CALL show_verdicts('c', '{trial,active}');
CALL show_verdicts('c', '{"trial ","active    "}');
CALL show_verdicts('e', '{trial,active}');
CALL show_verdicts('i2', '{1,2}');
CALL show_verdicts('i4', '{1, 2}');
CALL show_verdicts('i8', '{1,2,-9223372036854775808}');
CALL show_verdicts('d', '{trial,active}');
CALL show_verdicts('t', '{Trial,active }');
CALL show_verdicts('t', '{" active"}');

-- As it is stored, and as health() shows it.
SELECT session_guard.attach('members', active_column => 't', active_when => ' { active , "on hold","a\"b" }');
SELECT active_when FROM session_guard.guard;
SELECT ok, detail FROM session_guard.health() WHERE check_name IN ('armed', 'status_values');
SELECT tgname, encode(tgargs, 'escape') FROM pg_trigger WHERE tgrelid = 'members'::regclass ORDER BY tgname;

-- From one listed value to another nothing ends, whatever else is written with it.
SELECT session_guard.attach('members', active_column => 'e', active_when => '{trial,active}');
INSERT INTO members (id, e) VALUES (5, 'trial');
CREATE TABLE login (at timestamptz);
INSERT INTO login VALUES (session_start(5));
UPDATE members SET e = 'active', t = 'paid' WHERE id = 5;
SELECT session_verdict(5, at) FROM login;
UPDATE members SET e = 'closed' WHERE id = 5;
SELECT session_verdict(5, at) FROM login;
UPDATE members SET e = NULL WHERE id = 5;
UPDATE members SET e = 'active' WHERE id = 5;
SELECT session_verdict(5, at) FROM login;
SELECT reason FROM session_guard.event WHERE user_id = '5' ORDER BY id;
-- A column of revoke_on that changes with it counts.
SELECT session_guard.attach('members', revoke_on => '{t}');
UPDATE members SET e = 'trial', t = 'new' WHERE id = 5;
SELECT reason FROM session_guard.event WHERE user_id = '5' ORDER BY id DESC LIMIT 1;

-- New labels are not listed. One that is renamed is not any more, for connections that know the account, too.
ALTER TYPE stage ADD VALUE 'paused';
UPDATE members SET e = 'paused' WHERE id = 5;
UPDATE members SET e = 'trial' WHERE id = 5;
DELETE FROM login;
INSERT INTO login VALUES (session_start(5));
SELECT session_verdict(5, at), session_verdict(5, at) FROM login;
ALTER TYPE stage RENAME VALUE 'trial' TO 'evaluation';
SELECT session_verdict(5, at) FROM login;
SELECT ok, detail, remedy FROM session_guard.health() WHERE check_name = 'status_values';
SELECT session_guard.attach('members', active_when => '{active,evaluation}') > 0 AS has_stamped;
-- It was not active meanwhile.
SELECT session_verdict(5, at) FROM login;
SELECT ok FROM session_guard.health() WHERE check_name = 'status_values';

\set VERBOSITY default
-- Refused: what no column of the type can be, lists that are none, and lists that are too long.
CREATE FUNCTION refusal(status text, form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text;
BEGIN
    PERFORM session_guard.attach('members', active_column => status::name, active_when => form);
    RETURN 'attached';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN state || ': ' || message || E'\n' || detail || E'\n' || hint;
END $$;
\pset format unaligned
\pset tuples_only on
SELECT refusal('e', '{actve}');
SELECT refusal('e', format('{%s}', repeat('x', 100)));
SELECT refusal('i4', '{one}');
SELECT refusal('i2', '{99999}');
SELECT refusal('i2', '{}');
SELECT refusal('t', '{a,NULL}');
SELECT refusal('t', '{{a},{b}}');
SELECT refusal('t', '{a');
SELECT refusal('t', format('{%s}', repeat('x', 5000)));
SELECT refusal('e', 'true');
\pset tuples_only off
\pset format aligned

-- A row that somebody changes by hand: what it lists and the column cannot be, nobody is; and what it says otherwise
-- than the triggers do not is not read.
UPDATE session_guard.guard SET active_when = '{active,gone}';
SELECT check_name, detail FROM session_guard.health() WHERE guard IS NOT NULL AND NOT ok;
SELECT session_guard.reconcile() >= 0 AS is_reconciled;
UPDATE session_guard.guard SET active_when = '{active';
SELECT session_valid(2, now());
UPDATE session_guard.guard SET active_when = '{active,evaluation}';
SELECT session_guard.reconcile() >= 0 AS is_reconciled;
SELECT check_name, detail FROM session_guard.health() WHERE guard IS NOT NULL AND NOT ok;
SET client_min_messages = warning;
DROP EXTENSION pg_session_guard;
DROP TABLE members, login;
DROP DOMAIN state;
DROP TYPE stage;
DROP PROCEDURE show_verdicts;
DROP FUNCTION refusal;
