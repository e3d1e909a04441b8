"""Prints what the guard adds to a request of Flask and of Django, by turns with the same app without it. Asserts nothing.

    PYTHONPATH=../.. ../../../target/venv-python/bin/python latency.py      after `run`, with the same environment
"""

import http.client
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from adapters import ADAPTERS, LONGEST

ROUNDS, WARM_UP = 600, 50


def measure(adapter):
    adapter = adapter.with_own_database("latency")
    adapter.create()
    folder = Path(tempfile.mkdtemp())
    taken = {"guarded": [], "unguarded": []}
    with ExitStack() as both:
        asked = {}
        for name, variables in (("guarded", {}), ("unguarded", {"UNGUARDED": "1"})):
            server = both.enter_context(adapter.serve(folder / name, **variables))
            cookies = "; ".join(f"{key}={value}" for key, value in server.logged_in().items())
            connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=LONGEST)
            asked[name] = (connection, {"Cookie": cookies})
        for turn in range(WARM_UP + ROUNDS):
            for name, (connection, headers) in asked.items():
                began = time.perf_counter()
                connection.request("GET", adapter.api, headers=headers)
                answer = connection.getresponse()
                answer.read()
                milliseconds = (time.perf_counter() - began) * 1000
                assert answer.status == 200
                if turn >= WARM_UP:
                    taken[name].append(milliseconds)
    adapter.drop()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    between = statistics.median(a - b for a, b in zip(*taken.values(), strict=True))
    print(
        f"{adapter.name}: guarded {medians['guarded']:.2f} ms, unguarded {medians['unguarded']:.2f} ms,"
        f" median of the differences {between:.2f} ms"
    )


for adapter in (ADAPTERS[0], ADAPTERS[2]):
    measure(adapter)
