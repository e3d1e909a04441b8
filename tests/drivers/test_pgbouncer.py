"""Through PgBouncer in transaction mode, every driver gets the same answers, and no disabled account stays valid."""

import itertools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from clients import APP, DRIVERS, ask, expected_answers, make_database
from python_helpers import ROOT
from python_helpers.ports import free_port

POOL, CLIENTS, USERS = 5, 20, 100
UNPRIVILEGED = str(ROOT / "scripts/unprivileged")
PGBOUNCER = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
VERSION = tuple(map(int, re.search(r"(\d+)\.(\d+)", subprocess.check_output([PGBOUNCER, "--version"], text=True)).groups()))
# From 1.21 on PgBouncer keeps track of the statements that drivers prepare.
KEEPS_STATEMENTS = VERSION >= (1, 21)
# Ways of asking that take no prepared statement from one transaction into the next.
UNPREPARED = {"literals", "unprepared", "emulated", "text", "func", "simple", "timestamps"}


@pytest.fixture(scope="module")
def database():
    name = make_database("int")
    with psycopg.connect(dbname=name, autocommit=True) as db:
        db.execute("INSERT INTO users SELECT n, true FROM generate_series(101, 100 + %s) AS n", (USERS,))
        yield name


@pytest.fixture(scope="module")
def pooled(database):
    """Runs PgBouncer, and gives what leads to it."""
    with tempfile.TemporaryDirectory(prefix="guard-pool.", dir="/tmp") as folder:
        port = free_port()
        Path(folder, "ini").write_text(f"""[databases]
* = host={os.environ["PGHOST"]} port={os.environ["PGPORT"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 200
query_wait_timeout = 30
ignore_startup_parameters = extra_float_digits
{"max_prepared_statements = 100" if KEEPS_STATEMENTS else ""}
""")
        Path(folder, "users").write_text(f'"{os.environ["PGUSER"]}" ""\n"{APP}" ""\n')
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
        log = open(Path(folder, "log"), "w")
        process = subprocess.Popen([UNPRIVILEGED, PGBOUNCER, f"{folder}/ini"], stdout=log, stderr=log)
        try:
            wait_for(Path(folder, f".s.PGSQL.{port}"), process)
            yield {"PGHOST": folder, "PGPORT": str(port), "GUARD_TCP": f"127.0.0.1:{port}"}
        finally:
            process.terminate()
            process.wait(30)


def wait_for(path, process):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, "PgBouncer does not start"
        time.sleep(0.05)


def connect(pooled, database, **options):
    return psycopg.connect(host=pooled["PGHOST"], port=pooled["PGPORT"], dbname=database, **{"prepare_threshold": None} | options)


@pytest.fixture
def busy(pooled, database):
    """Others use the pool all the while, so that a client's transactions go to one server after another."""
    is_over = threading.Event()

    def use():
        with connect(pooled, database, autocommit=True) as other:
            while not is_over.is_set():
                other.execute("SELECT pg_sleep(0.0005)")

    with ThreadPoolExecutor(2 * POOL) as pool:
        others = [pool.submit(use) for _ in range(2 * POOL)]
        yield
        is_over.set()
        for other in others:
            other.result(30)


@pytest.mark.parametrize("driver", DRIVERS)
def test_unprepared_statements_are_answered_through_a_busy_pool(driver, pooled, database, busy):
    said = ask(driver, database, **pooled)
    expected = dict(expected_answers(driver, "int"))
    assert said.keys() == expected.keys()
    answers = [(case, way, answer) for case, ways in said.items() for way, answer in ways.items()]
    wrong = {(case, way): answer for case, way, answer in answers if answer != expected[case](way)}
    for way in sorted({way for _, way, _ in answers}):
        of_way = [answer for (_, w), answer in wrong.items() if w == way]
        other = sum(not answer.startswith("error") for answer in of_way)
        print(f"\n{driver}, {way}: {len(of_way) - other} errors, {other} wrong answers of {len(expected)}", end="")
    assert not {case: answer for case, answer in wrong.items() if case[1] in UNPREPARED}


def test_no_pooled_connection_answers_valid_after_a_disable_past_the_pool(pooled, database):
    answers = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = list(pool.map(lambda _: connect(pooled, database, autocommit=True), range(CLIENTS)))
        ask = "SELECT session_valid(%s, %s), pg_backend_pid()"

        def ask_all(users, login_at):
            questions = [(client, users) for client in clients]
            return list(itertools.chain(*pool.map(
                lambda question: [question[0].execute(ask, (user, login_at)).fetchone() for user in question[1]], questions)))

        with psycopg.connect(dbname=database, autocommit=True) as straight:
            login_at = clients[0].execute("SELECT session_start(101)").fetchone()[0]
            users = range(101, 101 + USERS)
            warm = ask_all(users, login_at)
            assert {valid for valid, _ in warm} == {True}
            assert len({server for _, server in warm}) == POOL
            # One after another, each asked through the warm pool as soon as its disable is committed.
            for user in users[: USERS // 2]:
                straight.execute("UPDATE users SET active = false WHERE id = %s", (user,))
                answers += ask_all([user], login_at)
            # All others at once; and none comes back with the account.
            straight.execute("UPDATE users SET active = false WHERE id > %s", (100 + USERS // 2,))
            answers += ask_all(users, login_at)
            straight.execute("UPDATE users SET active = true WHERE NOT active")
            answers += ask_all(users, login_at)
            again = ask_all([101], clients[0].execute("SELECT session_start(101)").fetchone()[0])
        for client in clients:
            client.close()
    assert {valid for valid, _ in answers} == {False}
    assert {valid for valid, _ in again} == {True}
    print(f"\n{len(answers)} checks by {CLIENTS} clients on {len({server for _, server in answers})} servers, none valid", end="")


def test_a_disable_is_seen_within_pooled_transactions_that_began_before_it(pooled, database):
    with psycopg.connect(dbname=database, autocommit=True) as straight:
        straight.execute("UPDATE users SET active = true WHERE id = 102")
        clients = [connect(pooled, database) for _ in range(POOL)]
        ask = "SELECT session_valid(102, session_guard.epoch_of(102)), pg_backend_pid()"
        for client in clients:
            client.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        before = [client.execute(ask).fetchone() for client in clients]
        assert {valid for valid, _ in before} == {True} and len({server for _, server in before}) == POOL
        straight.execute("UPDATE users SET active = false WHERE id = 102")
        assert {client.execute(ask).fetchone()[0] for client in clients} == {False}
        for client in clients:
            client.close()
        straight.execute("UPDATE users SET active = true WHERE id = 102")


def test_a_named_statement_is_missed_or_mistaken_on_the_next_server_unless_pgbouncer_keeps_track(pooled):
    database = make_database("bigint")
    client, stranger = [connect(pooled, database, autocommit=True, prepare_threshold=5) for _ in range(2)]
    others = [connect(pooled, database) for _ in range(POOL)]

    def on_only(server, connection, statement, prepare=True):
        """On one server of the pool, the others being taken."""
        others[server].rollback()
        try:
            return connection.execute(statement, prepare=prepare).fetchone()[0]
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            others[server].execute("SELECT 1")

    for other in others:
        other.execute("SELECT 1")
    ask = "SELECT session_valid(3, now())"      # a disabled account
    assert on_only(0, client, ask) is False
    assert on_only(1, stranger, "SELECT true")  # by the name that the client's statement has elsewhere
    assert on_only(1, client, ask) is (not KEEPS_STATEMENTS)
    assert on_only(2, client, ask) == (False if KEEPS_STATEMENTS else "26000")
    assert [on_only(server, client, ask, prepare=False) for server in range(POOL)] == [False] * POOL
    for connection in [client, stranger, *others]:
        connection.close()


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_pgbench_finds_each_session_valid_before_and_none_after(protocol, pooled, database):
    """A wrong answer divides by zero, and pgbench gives up."""
    with psycopg.connect(dbname=database, autocommit=True) as straight:
        straight.execute("UPDATE users SET active = true WHERE id > 100")
        straight.execute("SELECT session_guard.reconcile()")
        login_at = straight.execute("SELECT greatest(max(epoch), now())::text FROM session_guard.epoch WHERE length(user_id) = 3").fetchone()[0]
        run_pgbench(pooled, database, protocol, f"SELECT 1 / session_valid(:user, '{login_at}')::int;")
        straight.execute("UPDATE users SET active = false WHERE id > 100")
        run_pgbench(pooled, database, protocol, f"SELECT 1 / (NOT session_valid(:user, '{login_at}'))::int;")


def run_pgbench(pooled, database, protocol, statement):
    script = f"\\set user random(101, {100 + USERS})\n{statement}\n"
    command = ["pgbench", "--no-vacuum", "--client", str(2 * POOL), "--time", "3", "--protocol", protocol, "--file", "-"]
    bench = subprocess.run(command, input=script, env=os.environ | pooled | {"PGDATABASE": database}, text=True,
                           capture_output=True, timeout=60)
    assert bench.returncode == 0 and "aborted" not in bench.stderr, bench.stderr
    done = int(re.search(r"transactions actually processed: (\d+)", bench.stdout)[1])
    assert done > 2 * POOL
    print(f"\n{protocol}: {done} transactions in 3 s", end="")
