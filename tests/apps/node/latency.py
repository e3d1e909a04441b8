"""Prints what the guard adds to a request, by turns with the same app without it. Asserts nothing.

    TARGET=../../../target/npm/clients-node/app PYTHONPATH=../.. ../../../target/venv-node/bin/python latency.py [POOLED]

After `run`, with the same environment. With POOLED, through PgBouncer in transaction mode.
"""

import http.client
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from adapters import ADAPTERS, LONGEST
from test_pgbouncer import pooler

ROUNDS, WARM_UP = 3000, 300


def measure(adapter, way):
    adapter = replace(adapter, name=f"latency_{adapter.name}")
    adapter.create()
    folder = Path(tempfile.mkdtemp())
    taken = {"guarded": [], "unguarded": []}
    with ExitStack() as both:
        asked = {}
        for name, variables in (("guarded", {}), ("unguarded", {"UNGUARDED": "1"})):
            server = both.enter_context(adapter.serve(folder / name, **variables, **way))
            cookies = "; ".join(f"{key}={value}" for key, value in server.logged_in().items())
            connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=LONGEST)
            asked[name] = (connection, {"Cookie": cookies})
        for turn in range(WARM_UP + ROUNDS):
            # Each is the first in half of the turns.
            for name in sorted(asked, reverse=turn % 2):
                connection, headers = asked[name]
                began = time.perf_counter()
                connection.request("GET", "/api/me", headers=headers)
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
        f"{adapter.name}: guarded {medians['guarded']:.3f} ms, unguarded {medians['unguarded']:.3f} ms,"
        f" median of the differences {between:.3f} ms"
    )


with pooler() if sys.argv[1:] == ["POOLED"] else nullcontext({}) as way:
    for adapter in ADAPTERS:
        if not way or adapter.pooled is None:
            measure(adapter, way)
