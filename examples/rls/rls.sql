-- An app that forgets to ask gets no rows: the database asks, by a policy of row-level security.
--
-- First the extension must be there, with a guarded table of users whose id is an integer, and the app's role:
--
--     createuser document_app
--
-- Run this once, as the owner of the extension: psql -1 -v ON_ERROR_STOP=1 -f rls.sql. A second run fails, since the table is there.
--
-- The app says at the beginning of each transaction whose it is, as it knows from the session's cookie or token:
--
--     SELECT set_config('app.user_id', '42', true), set_config('app.login_at', '2026-01-31 10:00:00.123+00', true);
--
-- If it says nothing, or the session has ended, there are no rows, and no errors. The app's role must not own the table
-- (or FORCE ROW LEVEL SECURITY). Superusers and roles with BYPASSRLS see all rows.
--
-- Whoever can run SQL of their own as the app's role can set these, too: the policy is for the app that forgets, not
-- against one that is taken over.

CREATE TABLE document (id serial PRIMARY KEY, owner_id int NOT NULL, title text);
ALTER TABLE document ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON document TO document_app;
GRANT USAGE ON SEQUENCE document_id_seq TO document_app;
-- A policy's functions are called with the rights of the role that reads the table.
SELECT session_guard.grant_access('document_app');

CREATE FUNCTION app_user() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.user_id', true), '')::int $$;
CREATE FUNCTION app_login() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.login_at', true), '')::timestamptz $$;

-- A session without a login time is none here, though session_valid would let those go on that are older than the guard.
-- Called for each row, so that a session that ends during a long statement gets no more rows. Written as
-- (SELECT session_valid(…)) it is called once in each statement, and the session lasts until that ends.
CREATE POLICY own_and_alive ON document
    USING (owner_id = app_user() AND app_login() IS NOT NULL AND session_valid(app_user(), app_login()))
    WITH CHECK (owner_id = app_user() AND app_login() IS NOT NULL AND session_valid(app_user(), app_login()));
