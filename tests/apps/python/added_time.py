"""Prints what the guard adds to a request of Flask and of Django, by turns with the same app without it: in time on a CPU, of
the app and of its backend, and by the clock. The apps are asked within their process, on a connection to the database that
stays. On a busy machine the first says more, since waiting is not counted. Asserts nothing.

Two processes of one app differ by more than the guard adds: by the order of their hashes, the places of their memory, and
when they collect garbage. So there are several pairs of processes. Each pair has the same hashes, and collects only what a
request leaves.

    PYTHONPATH=../.. ../../../target/venv-python/bin/python added_time.py      after `run`, with the same environment
"""

import gc
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PAIRS, TURNS, REQUESTS, WARM_UP = 9, 60, 10, 100


def time_on_cpu(process):
    """In microseconds, of all its threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1000


def times(backend):
    """On a CPU, of this process and of the backend; and by the clock. In microseconds."""
    return [time_on_cpu(os.getpid()), time_on_cpu(backend), time.perf_counter() * 1e6]


def log_in(client):
    form = {"username": "alice", "password": os.environ["DJANGO_SUPERUSER_PASSWORD"]}
    assert client.post("/login", data=form).status_code == 302


def flask():
    from flask_server import app, db
    from sqlalchemy import text

    client = app.test_client()
    log_in(client)
    with app.app_context():
        backend = db.session.execute(text("SELECT pg_backend_pid()")).scalar()
    return client, backend


def django():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    import django

    django.setup()
    from django.db import connection
    from django.test import Client

    client = Client()
    log_in(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return client, cursor.fetchone()[0]


def answer_turns(name):
    """The app, in a process of its own: a turn for each line."""
    client, backend = {"flask": flask, "django": django}[name]()

    def turn(requests):
        for _ in range(requests):
            assert client.get("/api/me").status_code == 200

    turn(WARM_UP)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for _ in sys.stdin:
        before = times(backend)
        turn(REQUESTS)
        after = times(backend)
        print(*((late - early) / REQUESTS for early, late in zip(before, after, strict=True)), flush=True)


def added_in_a_pair(adapter, number):
    """The medians over the turns of two new processes."""
    apps = {}
    for name, variables in (("guarded", {}), ("unguarded", {"UNGUARDED": "1"})):
        environment = {**adapter.environment, **variables, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, Path(__file__).resolve(), adapter.name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        apps[name] = subprocess.Popen(command, cwd=SERVERS, env=environment, **pipes)
        assert apps[name].stdout.readline() == "ready\n"
    taken = {name: [] for name in apps}
    for turn in range(TURNS):
        # Each is the first in half of the turns.
        for name in sorted(apps, reverse=turn % 2):
            print(file=apps[name].stdin, flush=True)
            taken[name].append([float(part) for part in apps[name].stdout.readline().split()])
    for app in apps.values():
        app.stdin.close()
        app.wait(30)
    added = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(*taken.values(), strict=True)]
    return [statistics.median(values) for values in zip(*added, strict=True)]


def measure(adapter):
    adapter = adapter.with_own_database("cpu")
    adapter.create()
    pairs = zip(*(added_in_a_pair(adapter, number) for number in range(1, PAIRS + 1)), strict=True)
    adapter.drop()
    of_app, of_backend, by_clock = (
        f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})" for values in pairs
    )
    print(
        f"{adapter.name}: added by the guard, in us a request: app {of_app}, backend {of_backend}, by the clock {by_clock};"
        f" medians of {PAIRS} pairs of processes, with the smallest and the largest; load {os.getloadavg()[0]:.1f}"
    )


if len(sys.argv) > 1:
    answer_turns(sys.argv[1])
else:
    from adapters import ADAPTERS, SERVERS

    for chosen in (ADAPTERS[0], ADAPTERS[2]):
        measure(chosen)
