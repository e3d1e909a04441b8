-- What Superset and its quickstart have made, and the release after 6.1.
CREATE EXTENSION pg_session_guard;
CREATE TABLE ab_user_role (id serial PRIMARY KEY, user_id int REFERENCES ab_user, role_id int);
CREATE TABLE ab_user_group (id serial PRIMARY KEY, user_id int REFERENCES ab_user, group_id int);
CREATE TABLE user_attribute (
    id serial PRIMARY KEY,
    user_id int UNIQUE REFERENCES ab_user,
    created_on timestamp,
    changed_on timestamp,
    sessions_invalidated_at timestamp
);
