"""A database with users under guard."""

import psycopg
import pytest

DATABASE = "guard_examples"


@pytest.fixture(scope="session", autouse=True)
def database():
    with psycopg.connect(dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        admin.execute("DROP ROLE IF EXISTS guard_examples_app")
        admin.execute(f"CREATE DATABASE {DATABASE}")
        admin.execute(f"ALTER DATABASE {DATABASE} SET session_guard.notify = on")
    with psycopg.connect(dbname=DATABASE, autocommit=True) as admin:
        admin.execute("CREATE TABLE users (id int PRIMARY KEY, active boolean, password text)")
        admin.execute("INSERT INTO users SELECT n, true, 'secret' FROM generate_series(1, 50) AS n")
        admin.execute("CREATE EXTENSION pg_session_guard")
        admin.execute("SELECT session_guard.attach('users', revoke_on => '{password}')")
    yield
    with psycopg.connect(dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        admin.execute("DROP ROLE IF EXISTS guard_examples_app")


@pytest.fixture
def db():
    with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
        yield connection
        connection.rollback()
        connection.execute("UPDATE users SET active = true WHERE NOT active")


@pytest.fixture
def log_in(db):
    return lambda user: db.execute("SELECT session_start(%s::bigint)::text", (user,)).fetchone()[0]
