"""Superset's metadata in a database of the tests' own, and servers on it: guarded and stock."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from client import Browser
from python_helpers import EXAMPLES, PASSWORD, PYTHON_PACKAGE, commands, serving
from python_helpers.databases import connect, create_database, create_role, drop_database

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DATABASE, OWNER = "session_guard_superset", "superset"
GUEST_TOKEN_SECRET = "another secret of the tests, long enough too"

# libpq adds the host and the port from the environment.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (HERE, EXAMPLES / "superset", PYTHON_PACKAGE))),
    "FLASK_APP": "superset",
    "DATABASE_URL": f"postgresql://{OWNER}@/{DATABASE}",
    "GUEST_TOKEN_SECRET": GUEST_TOKEN_SECRET,
}
rows = []


def run(*command, config="guarded", timeout=300, **settings):
    """A program of Superset's environment: a worker, a command, a script."""
    environment = {**ENVIRONMENT, **settings, "SUPERSET_CONFIG_PATH": str(HERE / f"{config}.py")}
    return commands.output_of([BIN / command[0], *command[1:]], environment, timeout=timeout)


@pytest.fixture(scope="session")
def database():
    create_role(OWNER)
    # As an operator would, so that a login never waits for ever for a change of its account.
    create_database(DATABASE, OWNER, {"lock_timeout": "2s"})
    print("\n== superset db upgrade, superset init (half a minute)", flush=True)
    # With the example in the configuration, while there is no table and no extension yet.
    run("superset", "db", "upgrade")
    run("superset", "init")
    # alice is the one who is disabled, bob with her; admin is not. All are administrators, so
    # that they may call the API.
    run("python", "-c", f"""
from superset.app import create_app
app = create_app()
with app.app_context():
    users = app.appbuilder.sm
    for name in ("admin", "alice", "bob", "newcomer"):
        role = users.find_role("Admin")
        assert users.add_user(name, name, name, f"{{name}}@example.com", role, {PASSWORD!r})
""")
    with connect(DATABASE, OWNER) as owner:
        owner.execute("CREATE EXTENSION pg_session_guard")
    db = connect(DATABASE)
    yield db
    db.close()
    drop_database(DATABASE)


def serve(config, folder, **settings):
    """Superset in a server process of its own, as it is run in production; gives its address."""
    command = [BIN / "gunicorn", "--bind", "127.0.0.1:PORT", "--threads", "20"]
    command += ["--worker-tmp-dir", folder, "superset.app:create_app()"]
    environment = {**ENVIRONMENT, **settings, "SUPERSET_CONFIG_PATH": str(HERE / f"{config}.py")}
    log_path = folder / f"{config}.log"
    return serving.serve(command, environment, log_path, "/health", patience=120, grace=40)


@pytest.fixture(scope="session")
def servers(database, tmp_path_factory):
    """Two on the same database: what the tests see is the example's doing, or Superset's own."""
    print("\n== starting Superset, guarded and stock", flush=True)
    with ExitStack() as both:
        folder = tmp_path_factory.mktemp("servers")
        yield {name: both.enter_context(serve(name, folder)) for name in ("guarded", "stock")}


@pytest.fixture(scope="session")
def guarded(servers):
    return servers["guarded"]


@pytest.fixture(scope="session")
def admin(guarded):
    return Browser(guarded, "admin")


@pytest.fixture
def statuses():
    """Collects the rows of the table that is printed in the end."""
    return rows


def pytest_terminal_summary(terminalreporter):
    if not rows:
        return
    columns = list(rows[0])
    widths = [max(len(str(row[name])) for row in [*rows, {name: name}]) for name in columns]
    terminalreporter.section("HTTP status of an old session: while disabled, then enabled again")
    for row in [dict(zip(columns, columns)), *rows]:
        cells = (str(row[name]).ljust(width) for name, width in zip(columns, widths))
        terminalreporter.write_line("  ".join(cells).rstrip())
