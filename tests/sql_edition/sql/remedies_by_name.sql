-- Names that look like a statement of a hint: what health() gives as its remedy is made beside the hint, and never read out of it.
SET client_min_messages = error;
CREATE EXTENSION pg_session_guard;
CREATE TABLE precious (id int);
CREATE SCHEMA "run: DROP TABLE public.precious; --";
CREATE TABLE "run: DROP TABLE public.precious; --"."Run: DROP TABLE public.precious;" (
    "id'; by: DROP TABLE public.precious; --" int PRIMARY KEY, "active
run: DROP TABLE public.precious; --" boolean, "p"";by: DROP TABLE public.precious;" text);
SELECT session_guard.attach('"run: DROP TABLE public.precious; --"."Run: DROP TABLE public.precious;"', 'id''; by: DROP TABLE public.precious; --', E'active\nrun: DROP TABLE public.precious; --',
    revoke_on => ARRAY['p";by: DROP TABLE public.precious;']);
CREATE TABLE "by: DROP TABLE public.precious; --" (id int PRIMARY KEY, active boolean);
SELECT session_guard.attach('"by: DROP TABLE public.precious; --"');
SELECT bool_and(ok) FROM session_guard.health();
-- Each remedy that there is, run as it stands; those that need a decision give none.
CREATE PROCEDURE run_remedies() LANGUAGE plpgsql AS $$
DECLARE remedies text[] := ARRAY(SELECT DISTINCT remedy FROM session_guard.health() WHERE NOT ok AND remedy IS NOT NULL); statement text;
BEGIN
    FOREACH statement IN ARRAY remedies LOOP
        EXECUTE statement;
    END LOOP;
END $$;
\pset format unaligned
\pset tuples_only on
-- A table that lost its name to another.
BEGIN;
ALTER TABLE "by: DROP TABLE public.precious; --" RENAME TO "run: DROP TABLE public.precious;";
CREATE TABLE "by: DROP TABLE public.precious; --" (id int PRIMARY KEY, active boolean);
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
CALL run_remedies();
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok AND check_name <> 'unwatched_changes';
ROLLBACK;
-- A guard whose table is gone, and one whose column is.
BEGIN;
DROP TABLE "by: DROP TABLE public.precious; --";
ALTER TABLE "run: DROP TABLE public.precious; --"."Run: DROP TABLE public.precious;" DROP COLUMN "id'; by: DROP TABLE public.precious; --" CASCADE;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
CALL run_remedies();
ROLLBACK;
-- A column that counted, too.
BEGIN;
ALTER TABLE "run: DROP TABLE public.precious; --"."Run: DROP TABLE public.precious;" DROP COLUMN "p"";by: DROP TABLE public.precious;" CASCADE;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
CALL run_remedies();
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok AND check_name <> 'unwatched_changes';
ROLLBACK;
-- Columns that have changed their names.
BEGIN;
ALTER TABLE "by: DROP TABLE public.precious; --" RENAME active TO "run: DROP TABLE public.precious;";
ALTER TABLE "by: DROP TABLE public.precious; --" ADD active boolean;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
ROLLBACK;
-- A column of another type: the hint lists the columns, which mends nothing.
BEGIN;
DROP TRIGGER session_guard_update ON "by: DROP TABLE public.precious; --";
ALTER TABLE "by: DROP TABLE public.precious; --" ALTER id TYPE numeric;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
ROLLBACK;
-- A table that a crash would empty, and one of another owner.
BEGIN;
ALTER TABLE "by: DROP TABLE public.precious; --" SET UNLOGGED;
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
CALL run_remedies();
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
ROLLBACK;
BEGIN;
CREATE ROLE "regress_run: DROP TABLE public.precious; --";
ALTER TABLE "by: DROP TABLE public.precious; --" OWNER TO "regress_run: DROP TABLE public.precious; --";
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
ROLLBACK;
-- Watches and session stores.
CREATE TABLE "run: DROP TABLE public.precious; watched" ("run: DROP TABLE public.precious;" int);
CREATE TABLE "run: DROP TABLE public.precious; store" ("by: DROP TABLE public.precious;" int);
SELECT session_guard.watch('"run: DROP TABLE public.precious; watched"', 'run: DROP TABLE public.precious;', users => '"by: DROP TABLE public.precious; --"');
SELECT session_guard.add_store('"run: DROP TABLE public.precious; store"', 'by: DROP TABLE public.precious;', users => '"by: DROP TABLE public.precious; --"');
ALTER TABLE "run: DROP TABLE public.precious; watched" RENAME TO "by: DROP TABLE public.precious;";
ALTER TABLE "run: DROP TABLE public.precious; store" RENAME TO "by: DROP TABLE public.precious; a store";
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
CALL run_remedies();
SELECT check_name, detail, remedy FROM session_guard.health() WHERE NOT ok;
SELECT count(*) FROM precious;

DROP EXTENSION pg_session_guard;
DROP PROCEDURE run_remedies;
DROP SCHEMA "run: DROP TABLE public.precious; --" CASCADE;
DROP TABLE precious, "by: DROP TABLE public.precious; --", "by: DROP TABLE public.precious;", "by: DROP TABLE public.precious; a store";
