"""Through PgBouncer in transaction mode, whose transactions go to one server connection after another."""

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from adapters import IMPATIENT, OWNER
from python_helpers import ROOT
from python_helpers.ports import free_port
from python_helpers.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
SERVERS = 3


@contextmanager
def pooler():
    with tempfile.TemporaryDirectory(prefix="guard-pool.", dir="/tmp") as folder:
        port = free_port()
        settings = [
            f"[databases]\n* = host={os.environ['PGHOST']} port={os.environ['PGPORT']}\n[pgbouncer]",
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {folder}",
            f"auth_type = trust\nauth_file = {folder}/users",
            f"pool_mode = transaction\ndefault_pool_size = {SERVERS}",
        ]
        Path(folder, "ini").write_text("\n".join(settings) + "\n")
        Path(folder, "users").write_text(f'"{OWNER}" ""\n')
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
        with open(Path(folder, "log"), "w") as log:
            command = [str(ROOT / "scripts" / "unprivileged"), PGBOUNCER, f"{folder}/ini"]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            socket = Path(folder, f".s.PGSQL.{port}")
            wait_until("PgBouncer", lambda: socket.exists() or process.poll() is not None)
            assert process.poll() is None, Path(folder, "log").read_text()
            yield {"PGHOST": folder, "PGPORT": str(port)}
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def pooled(adapter, tmp_path_factory):
    # Statements under a name need PgBouncer 1.21.
    unprepared = adapter if adapter.pooled is None else replace(adapter, variables=adapter.pooled)
    with pooler() as way, unprepared.serve(tmp_path_factory.mktemp("pooled") / "log", **way, **IMPATIENT) as server:
        yield server, way


def test_through_pgbouncer_a_session_ends_at_once_for_each_of_many_clients(adapter, pooled):
    server, _ = pooled
    sessions = [server.logged_in() for _ in range(4)]
    with ThreadPoolExecutor(8) as crowd:
        for _ in range(5):
            assert all(crowd.map(server.is_served, sessions * 4))
            adapter.set_active(False)
            assert not any(crowd.map(server.is_served, sessions * 4))
            adapter.set_active(True)
            assert not any(crowd.map(server.is_served, sessions * 4))
            sessions = [login.result() for login in [crowd.submit(server.logged_in) for _ in range(4)]]


def test_through_pgbouncer_the_timeout_of_a_login_is_that_of_its_transaction_alone(adapter, pooled):
    server, way = pooled
    with psycopg.connect(dbname=adapter.database) as disabling:
        disabling.execute("UPDATE users SET active = false WHERE username = 'alice'")
        assert server.log_in()[0].status_code == 503
        disabling.rollback()
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda _: server.logged_in(), range(16)))
    # All server connections at once, so that each is looked at.
    clients = [
        psycopg.connect(host=way["PGHOST"], port=way["PGPORT"], dbname=adapter.database, user=OWNER)
        for _ in range(SERVERS)
    ]
    asked = [
        client.execute("SELECT current_setting('lock_timeout'), pg_backend_pid()").fetchone() for client in clients
    ]
    assert {timeout for timeout, _ in asked} == {"0"}
    assert len({process for _, process in asked}) == SERVERS
    for client in clients:
        client.close()
