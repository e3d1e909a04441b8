"""What docs/apps.md says of apps that are not run here: its statements fit tables of their shape."""

import psycopg
import pytest
from python_helpers import databases
from stock import PAGE

DATABASE = "stock_on_paper"
# For each, its tables, the statements of the page, who is disabled how, and a session of each of two users.
APPS = {
    "rails": (
        """CREATE TABLE users (id bigserial PRIMARY KEY, email_address varchar NOT NULL, password_digest varchar NOT NULL);
           CREATE TABLE sessions (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, ip_address varchar);
           ALTER TABLE users ADD active boolean NOT NULL DEFAULT true;
           INSERT INTO users (email_address, password_digest) VALUES ('a', ''), ('b', '');
           INSERT INTO sessions (user_id) VALUES (1), (2)""",
        ["attach('users')", "add_store('sessions', 'user_id')"],
        "UPDATE users SET active = false WHERE id = 1",
        "SELECT array_agg(user_id::text) FROM sessions",
    ),
    "laravel": (
        """CREATE TABLE users (id bigserial PRIMARY KEY, email varchar(255) UNIQUE, remember_token varchar(100));
           CREATE TABLE sessions (id varchar(255) PRIMARY KEY, user_id bigint, payload text NOT NULL, last_activity int NOT NULL);
           CREATE TABLE personal_access_tokens (id bigserial PRIMARY KEY, tokenable_type varchar(255) NOT NULL,
                                                tokenable_id bigint NOT NULL);
           ALTER TABLE users ADD active boolean NOT NULL DEFAULT true;
           INSERT INTO users (id) VALUES (42), (2);
           INSERT INTO sessions VALUES ('s', 42, '', 0), ('t', 2, '', 0);
           INSERT INTO personal_access_tokens (tokenable_type, tokenable_id) VALUES ('User', 42), ('User', 2)""",
        [
            "attach('users')",
            "add_store('sessions', 'user_id')",
            "add_store('personal_access_tokens', 'tokenable_id')",
        ],
        "UPDATE users SET active = false, remember_token = NULL WHERE id = 42",
        "SELECT array_agg(s.user_id::text) FROM sessions AS s JOIN personal_access_tokens ON true",
    ),
    "spring": (
        """CREATE TABLE users (username varchar(50) PRIMARY KEY, password varchar(500) NOT NULL, enabled boolean NOT NULL);
           CREATE TABLE spring_session (primary_id char(36) PRIMARY KEY, principal_name varchar(100));
           CREATE TABLE spring_session_attributes (session_primary_id char(36) NOT NULL REFERENCES spring_session ON DELETE CASCADE);
           CREATE TABLE persistent_logins (username varchar(64) NOT NULL, series varchar(64) PRIMARY KEY);
           INSERT INTO users VALUES ('1', '', true), ('2', '', true);
           INSERT INTO spring_session VALUES ('s', '1'), ('t', '2');
           INSERT INTO spring_session_attributes VALUES ('s'), ('t');
           INSERT INTO persistent_logins VALUES ('1', 's'), ('2', 't')""",
        [
            "attach('users', id_column => 'username', active_column => 'enabled')",
            "add_store('spring_session', 'principal_name')",
            "add_store('persistent_logins', 'username')",
        ],
        "UPDATE users SET enabled = false WHERE username = '1'",
        "SELECT array_agg(l.username) FROM spring_session_attributes JOIN persistent_logins AS l ON true",
    ),
    "metabase": (
        """CREATE TABLE core_user (id serial PRIMARY KEY, is_active boolean NOT NULL DEFAULT true);
           CREATE TABLE core_session (id varchar(254) PRIMARY KEY, user_id int NOT NULL REFERENCES core_user ON DELETE CASCADE);
           INSERT INTO core_user VALUES (1), (2);
           INSERT INTO core_session VALUES ('s', 1), ('t', 2)""",
        ["attach('core_user', active_column => 'is_active')", "add_store('core_session', 'user_id')"],
        "UPDATE core_user SET is_active = false WHERE id = 1",
        "SELECT array_agg(user_id::text) FROM core_session",
    ),
    "grafana": (
        """CREATE TABLE "user" (id serial PRIMARY KEY, is_disabled boolean NOT NULL DEFAULT false);
           CREATE TABLE user_auth_token (id serial PRIMARY KEY, user_id bigint NOT NULL, revoked_at int);
           INSERT INTO "user" (is_disabled) VALUES (false), (false);
           INSERT INTO user_auth_token (user_id) VALUES (1), (2)""",
        [
            "attach('\"user\"', active_column => 'is_disabled', active_when => 'false')",
            "add_store('user_auth_token', 'user_id')",
        ],
        'UPDATE "user" SET is_disabled = true WHERE id = 1',
        "SELECT array_agg(user_id::text) FROM user_auth_token",
    ),
    "supabase": (
        """CREATE SCHEMA auth;
           CREATE TABLE auth.users (id uuid PRIMARY KEY, banned_until timestamptz);
           CREATE TABLE auth.sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE);
           CREATE TABLE auth.refresh_tokens (id bigserial PRIMARY KEY, session_id uuid REFERENCES auth.sessions ON DELETE CASCADE);
           INSERT INTO auth.users SELECT lpad(n::text, 32, '0')::uuid FROM generate_series(1, 2) AS n;
           INSERT INTO auth.sessions SELECT id, id FROM auth.users;
           INSERT INTO auth.refresh_tokens (session_id) SELECT id FROM auth.users""",
        [
            "attach('auth.users', active_column => 'banned_until', active_when => 'past')",
            "add_store('auth.sessions', 'user_id')",
        ],
        "UPDATE auth.users SET banned_until = now() + interval '1 day' WHERE id::text LIKE '%1'",
        "SELECT array_agg(right(session_id::text, 1)) FROM auth.refresh_tokens",
    ),
}
AUTHENTIK = """CREATE TABLE authentik_core_user (id serial PRIMARY KEY, is_active boolean NOT NULL DEFAULT true);
    CREATE TABLE authentik_core_authenticatedsession (session_id varchar(40) PRIMARY KEY, user_id int NOT NULL
        REFERENCES authentik_core_user DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE authentik_providers_oauth2_accesstoken (id serial PRIMARY KEY, session_id varchar(40)
        REFERENCES authentik_core_authenticatedsession DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO authentik_core_user VALUES (1), (2);
    INSERT INTO authentik_core_authenticatedsession VALUES ('s', 1), ('t', 2);
    INSERT INTO authentik_providers_oauth2_accesstoken (session_id) VALUES ('s')"""


@pytest.fixture
def db():
    databases.create_database(DATABASE)
    with databases.connect(DATABASE) as connection:
        connection.execute("CREATE EXTENSION pg_session_guard")
        yield connection
    databases.drop_database(DATABASE)


@pytest.mark.parametrize("app", APPS)
def test_a_disable_ends_the_sessions_of_the_user_alone(db, app):
    tables, statements, disable, left = APPS[app]
    db.execute(tables)
    for statement in statements:
        assert statement in PAGE
        db.execute(f"SELECT session_guard.{statement}")
    assert len(db.execute(left).fetchone()[0]) > 1
    assert db.execute(disable).rowcount == 1
    assert db.execute(left).fetchone()[0] == ["2"]


def test_authentik_s_foreign_keys_keep_sessions_that_have_tokens(db):
    db.execute(AUTHENTIK)
    warnings = []
    db.add_notice_handler(lambda notice: warnings.append(notice.sqlstate))
    for statement in (
        "attach('authentik_core_user', active_column => 'is_active')",
        "add_store('authentik_core_authenticatedsession', 'user_id')",
    ):
        assert statement in PAGE
        db.execute(f"SELECT session_guard.{statement}")
    db.execute("UPDATE authentik_core_user SET is_active = false WHERE id = 1")
    assert warnings == ["01000"]
    db.execute("UPDATE authentik_core_user SET is_active = false WHERE id = 2")
    left = db.execute("SELECT user_id FROM authentik_core_authenticatedsession").fetchall()
    assert left == [(1,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("DELETE FROM authentik_core_authenticatedsession")
