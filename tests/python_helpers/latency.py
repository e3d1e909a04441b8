"""What the guard adds to a request of an app."""

import http.client
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from .waiting import PATIENCE


def print_added(adapter, path, rounds, warm_up, **variables):
    """By turns with the same app without the guard. The adapter has a database of its own, which is made and dropped here."""
    adapter.create()
    folder = Path(tempfile.mkdtemp())
    taken = {"guarded": [], "unguarded": []}
    with ExitStack() as both:
        asked = {}
        for name, more in (("guarded", {}), ("unguarded", {"UNGUARDED": "1"})):
            server = both.enter_context(adapter.serve(folder / name, **more, **variables))
            cookies = "; ".join(f"{key}={value}" for key, value in server.logged_in().items())
            connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=PATIENCE)
            asked[name] = (connection, {"Cookie": cookies})
        for turn in range(warm_up + rounds):
            # Each is the first in half of the turns.
            for name in sorted(asked, reverse=turn % 2):
                milliseconds = time_of_request(*asked[name], path)
                if turn >= warm_up:
                    taken[name].append(milliseconds)
    adapter.drop()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    between = statistics.median(a - b for a, b in zip(*taken.values(), strict=True))
    print(
        f"{adapter.name}: guarded {medians['guarded']:.3f} ms, unguarded {medians['unguarded']:.3f} ms,"
        f" median of the differences {between:.3f} ms"
    )


def time_of_request(connection, headers, path):
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    milliseconds = (time.perf_counter() - began) * 1000
    assert answer.status == 200
    return milliseconds
