-- What `manage.py migrate` of the quickstart makes of the users, as far as the page's SQL reads it.
CREATE TABLE auth_user (id serial PRIMARY KEY, username text UNIQUE, password text, is_active boolean NOT NULL);
INSERT INTO auth_user (username, password, is_active) VALUES ('ada', 'hash', true);
CREATE EXTENSION pg_session_guard;
SELECT session_guard.attach('auth_user', active_column => 'is_active', revoke_on => '{password}');
