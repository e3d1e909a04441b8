"""Prints what the guard adds to a request, against Superset alone on the same database. Asserts no figure."""

import statistics
import time

from client import Browser

REQUESTS = 300


def test_guarded_and_stock_requests_are_answered_by_turns(servers):
    browsers = {name: Browser(address, "newcomer") for name, address in servers.items()}
    taken = {name: [] for name in servers}
    for number in range(-20, REQUESTS):  # The first ones warm up.
        for name, browser in browsers.items():
            began = time.perf_counter()
            status = browser.ask("GET", "/api/v1/me/").status_code
            milliseconds = (time.perf_counter() - began) * 1000
            assert status == 200
            if number >= 0:
                taken[name].append(milliseconds)
    medians = {}
    for name, values in taken.items():
        low, medians[name], high = statistics.quantiles(values)
        print(f"\n{name}: median {medians[name]:.2f} ms, middle half {low:.2f} to {high:.2f} ms", end="")
    added = medians["guarded"] - medians["stock"]
    print(f"\nadded to a request, of {REQUESTS} each by turns: {added:.2f} ms")
