"""Airflow's metadata in a database of the tests' own, and API servers on it: guarded and stock."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "airflow"
sys.path.insert(0, str(HERE.parent / "serving"))
import serving
AIRFLOW = Path(sys.executable).parent / "airflow"
DATABASE, OWNER, PASSWORD = "session_guard_airflow", "airflow", "a password for the tests"
MANAGERS = {
    "guarded": "session_guard.GuardedFabAuthManager",
    "stock": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}


def connect(database):
    return psycopg.connect(dbname=database, autocommit=True)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Of Airflow's programs; the auth manager is yet to be named."""
    # The asynchronous driver reads no host from the environment.
    url = f"://{OWNER}@/{DATABASE}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}"
    return {
        **os.environ,
        "PYTHONPATH": str(EXAMPLE),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2{url}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg{url}",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
    }


@pytest.fixture(scope="session")
def database(environment):
    postgres = connect("postgres")
    postgres.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    # The role stays after the tests: it might have been there before them.
    postgres.execute(
        f"DO 'BEGIN CREATE ROLE {OWNER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END'"
    )
    postgres.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    postgres.execute(f"ALTER DATABASE {DATABASE} SET lock_timeout = '2s'")
    print("\n== airflow db migrate, airflow users create (half a minute)", flush=True)
    alice = ["--username", "alice", "--firstname", "alice", "--lastname", "alice"]
    alice += ["--email", "alice@example.com", "--role", "Admin", "--password", PASSWORD]
    for command in (["db", "migrate"], ["users", "create", *alice]):
        done = subprocess.run(
            [AIRFLOW, *command],
            env={**environment, "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS["guarded"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
    db = connect(DATABASE)
    db.execute(f"SET ROLE {OWNER}")
    db.execute("CREATE EXTENSION pg_session_guard")
    db.execute("RESET ROLE")
    yield db
    db.close()
    postgres.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    postgres.close()


def serve(manager, environment, log_path):
    command = [AIRFLOW, "api-server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1"]
    environment = {**environment, "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager]}
    return serving.serve(command, environment, log_path, "/api/v2/version", patience=120, grace=40)


@pytest.fixture(scope="session")
def servers(database, environment, tmp_path_factory):
    """Two on the same database: what the tests see is the example's doing, or Airflow's own."""
    print("\n== starting Airflow's API server, guarded and stock", flush=True)
    folder = tmp_path_factory.mktemp("logs")
    with serve("guarded", environment, folder / "guarded") as guarded:
        with serve("stock", environment, folder / "stock") as stock:
            yield {"guarded": guarded, "stock": stock}


@pytest.fixture(autouse=True)
def alice_is_enabled(database):
    yield
    database.execute("UPDATE ab_user SET active = true WHERE NOT active")
