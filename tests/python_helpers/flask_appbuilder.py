"""The Flask-AppBuilder example: its database, the application in this process, and servers of it. The tests over HTTP
and those in a browser import the fixtures."""

import os
import sys

import pytest

from . import EXAMPLES, PASSWORD, PYTHON_PACKAGE, QUICK_HASH, ROOT, databases, serving

EXAMPLE = EXAMPLES / "flask_appbuilder"
DATABASE, OWNER = "session_guard_fab", "fab"

sys.path[:0] = [str(EXAMPLE), str(PYTHON_PACKAGE)]
# libpq adds the host and the port from the environment.
os.environ["DATABASE_URL"] = f"postgresql://{OWNER}@/{DATABASE}"
# The same for the servers and for the application in this process.
os.environ["SECRET_KEY"] = "a secret of the tests, longer than 32 bytes"


def psql(*statements, user=None):
    databases.psql(DATABASE, *statements, user=user)


@pytest.fixture(scope="session")
def application():
    """The application in this process, for what is done by its models and not over HTTP."""
    databases.create_role(OWNER)
    # As an operator would, so that a login never waits for ever for a change of its account.
    databases.create_database(DATABASE, OWNER, {"lock_timeout": "2s"})
    from app import create_app

    app = create_app()
    app.config["FAB_PASSWORD_HASH_METHOD"] = QUICK_HASH
    with app.app_context():
        users = app.appbuilder.sm
        # alice is the one who is disabled; no test disables newcomer. Both are administrators as
        # well, so that they may call the API.
        for name in ("admin", "alice", "newcomer"):
            role = users.find_role("Admin")
            assert users.add_user(name, name, name, f"{name}@example.com", role, PASSWORD)
    psql("CREATE EXTENSION pg_session_guard", user=OWNER)
    yield app
    databases.drop_database(DATABASE)


def serve(module, log_path):
    """The module's application in a server process of its own; gives its address."""
    command = [sys.executable, "-m", "flask", "--app", module, "run"]
    command += ["--host", "127.0.0.1", "--port", "PORT", "--with-threads"]
    modules = ROOT / "tests" / "apps" / "flask_appbuilder"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (EXAMPLE, PYTHON_PACKAGE, modules)))}
    return serving.serve(command, environment, log_path, "/login/")


@pytest.fixture(scope="session")
def server(application, tmp_path_factory):
    with serve("app", tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(autouse=True)
def everybody_is_enabled(application):
    yield
    psql("UPDATE ab_user SET active = true WHERE active IS DISTINCT FROM true")
