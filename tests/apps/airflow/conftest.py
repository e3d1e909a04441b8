"""Airflow's metadata in a database of the tests' own, and API servers on it: guarded and stock."""

import os
import secrets
import sys
from pathlib import Path

import pytest
from python_helpers import PASSWORD, PYTHON_PACKAGE, commands, serving
from python_helpers.databases import connect, create_database, create_role, drop_database

AIRFLOW = Path(sys.executable).parent / "airflow"
DATABASE, OWNER = "session_guard_airflow", "airflow"
MANAGERS = {
    "guarded": "pg_session_guard.airflow.GuardedFabAuthManager",
    "stock": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Of Airflow's programs; the auth manager is yet to be named."""
    # The asynchronous driver reads no host from the environment.
    url = f"://{OWNER}@/{DATABASE}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}"
    return {
        **os.environ,
        "PYTHONPATH": str(PYTHON_PACKAGE),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2{url}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg{url}",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
    }


@pytest.fixture(scope="session")
def database(environment):
    create_role(OWNER)
    # As an operator would, so that a login never waits for ever for a change of its account.
    create_database(DATABASE, OWNER, {"lock_timeout": "2s"})
    print("\n== airflow db migrate, airflow users create (half a minute)", flush=True)
    alice = ["--username", "alice", "--firstname", "alice", "--lastname", "alice"]
    alice += ["--email", "alice@example.com", "--role", "Admin", "--password", PASSWORD]
    for command in (["db", "migrate"], ["users", "create", *alice]):
        commands.output_of(
            [AIRFLOW, *command], {**environment, "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS["guarded"]}
        )
    db = connect(DATABASE)
    db.execute(f"SET ROLE {OWNER}")
    db.execute("CREATE EXTENSION pg_session_guard")
    db.execute("RESET ROLE")
    yield db
    db.close()
    drop_database(DATABASE)


def serve(manager, environment, log_path):
    command = [AIRFLOW, "api-server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1"]
    environment = {**environment, "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager]}
    return serving.serve(command, environment, log_path, "/api/v2/version", patience=120, grace=40)


@pytest.fixture(scope="session")
def servers(database, environment, tmp_path_factory):
    """Two on the same database: what the tests see is the package's doing, or Airflow's own."""
    print("\n== starting Airflow's API server, guarded and stock", flush=True)
    folder = tmp_path_factory.mktemp("logs")
    with serve("guarded", environment, folder / "guarded") as guarded:
        with serve("stock", environment, folder / "stock") as stock:
            yield {"guarded": guarded, "stock": stock}


@pytest.fixture(autouse=True)
def alice_is_enabled(database):
    yield
    database.execute("UPDATE ab_user SET active = true WHERE NOT active")
