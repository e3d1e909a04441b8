"""A database with users under guard, and what the tests of several examples need."""

import pytest
from python_helpers.databases import connect, create_database, drop_database

DATABASE = "guard_examples"


@pytest.fixture(scope="session", autouse=True)
def database():
    create_database(DATABASE)
    with connect(DATABASE) as admin:
        admin.execute("CREATE TABLE users (id int PRIMARY KEY, active boolean, password text)")
        admin.execute("INSERT INTO users SELECT n, true, 'secret' FROM generate_series(1, 50) AS n")
        admin.execute("CREATE EXTENSION pg_session_guard")
        admin.execute("SELECT session_guard.attach('users', revoke_on => '{password}')")
        admin.execute("SELECT session_guard.configure(notify => true)")
    yield
    drop_database(DATABASE)


@pytest.fixture
def db():
    with connect(DATABASE) as connection:
        yield connection
        connection.rollback()
        connection.execute("UPDATE users SET active = true WHERE NOT active")


@pytest.fixture
def log_in(db):
    return lambda user: db.execute("SELECT session_start(%s::bigint)::text", (user,)).fetchone()[0]
