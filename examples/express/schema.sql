CREATE EXTENSION IF NOT EXISTS pg_session_guard;

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    active boolean NOT NULL DEFAULT true
);
SELECT session_guard.attach('users', revoke_on => '{password_hash}');
