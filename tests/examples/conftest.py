"""A database with users under guard, and what the tests of several examples need."""

import re
import subprocess
import threading
import time
from contextlib import contextmanager

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


@contextmanager
def serve(command, log_path, environment):
    """A web server in a process of its own, that says where it is running; gives its address."""
    with open(log_path, "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not (running := re.search(r"Running on (http://\S+)", log_path.read_text())):
            failed = server.poll() is not None or time.monotonic() > deadline
            assert not failed, f"no server:\n{log_path.read_text()}"
            time.sleep(0.05)
        yield running[1]
    finally:
        server.terminate()
        server.wait(10)


class Background(threading.Thread):
    """Calls a function in another thread; result() waits for it."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.call = lambda: function(*arguments)
        self.start()

    def run(self):
        self.answer = self.call()

    def result(self):
        self.join(15)
        assert not self.is_alive(), "no answer"
        return self.answer


def wait_until_somebody_waits_for_a_lock(connection, how_many=1):
    deadline = time.monotonic() + 10
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while connection.execute(waiting).rowcount < how_many:
        assert time.monotonic() < deadline, "nobody waits for a lock"
        time.sleep(0.02)
