"""A database of the tests' own, the example's application on it, and servers of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "flask_appbuilder"
DATABASE, OWNER, PASSWORD = "session_guard_fab", "fab", "a password for the tests"

sys.path[:0] = [str(EXAMPLE), str(HERE.parent / "serving")]
import serving

# libpq adds the host and the port from the environment.
os.environ["DATABASE_URL"] = f"postgresql://{OWNER}@/{DATABASE}"
# The same for the servers and for the application in this process.
os.environ["SECRET_KEY"] = "a secret of the tests, longer than 32 bytes"


def psql(*statements, database=DATABASE, user=os.environ["PGUSER"]):
    command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", user]
    for statement in statements:
        command += ["-c", statement]
    subprocess.run(command, check=True, timeout=20)


def drop_database():
    psql(
        "SET client_min_messages = warning",
        f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)",
        database="postgres",
    )


@pytest.fixture(scope="session")
def application():
    """The application in this process, for what is done by its models and not over HTTP."""
    drop_database()
    psql(
        # It stays after the tests: it might have been there before them.
        f"DO 'BEGIN CREATE ROLE {OWNER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END'",
        f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        # As an operator would, so that a login never waits for ever for a change of its account.
        f"ALTER DATABASE {DATABASE} SET lock_timeout = '2s'",
        database="postgres",
    )
    from app import create_app

    app = create_app()
    with app.app_context():
        users = app.appbuilder.sm
        # alice is the one who is disabled; no test disables newcomer. Both are administrators as
        # well, so that they may call the API.
        for name in ("admin", "alice", "newcomer"):
            role = users.find_role("Admin")
            assert users.add_user(name, name, name, f"{name}@example.com", role, PASSWORD)
    psql("CREATE EXTENSION pg_session_guard", user=OWNER)
    yield app
    drop_database()


def serve(module, log_path):
    """The module's application in a server process of its own; gives its address."""
    command = [sys.executable, "-m", "flask", "--app", module, "run"]
    command += ["--host", "127.0.0.1", "--port", "PORT", "--with-threads"]
    environment = {**os.environ, "PYTHONPATH": f"{EXAMPLE}{os.pathsep}{HERE}"}
    return serving.serve(command, environment, log_path, "/login/")


@pytest.fixture(scope="session")
def server(application, tmp_path_factory):
    with serve("app", tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(autouse=True)
def everybody_is_enabled(application):
    yield
    psql("UPDATE ab_user SET active = true WHERE active IS DISTINCT FROM true")
