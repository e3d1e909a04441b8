-- The users, under guard, and what the app's role may do. Run once by the database's owner, who also owns the table:
-- an owner could take the guard off, so the app is another role, made before (createuser flask_app).

CREATE EXTENSION IF NOT EXISTS pg_session_guard;

CREATE TABLE users (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text    NOT NULL UNIQUE,
    active   boolean NOT NULL DEFAULT true,
    password text    NOT NULL  -- a hash
);

-- Sessions also end by their age. So what prune forgets of logouts that are older, no copied cookie can use.
SELECT session_guard.attach('users', revoke_on => '{password}', max_session_age => '12 hours');

-- revoke_sessions asks for UPDATE on the table; on the column password alone would do for the rest.
GRANT SELECT (id, name, password), UPDATE ON users TO flask_app;
-- All that an app calls at logins and requests.
SELECT session_guard.grant_access('flask_app');
-- What only administrators may call otherwise.
GRANT USAGE ON SCHEMA session_guard TO flask_app;
GRANT EXECUTE ON FUNCTION session_guard.revoke_sessions(text, text, regclass), session_guard.revoke_tokens(text, text, text) TO flask_app;
