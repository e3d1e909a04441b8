"""Prints what the guard adds to a request of Flask and of Django, by turns with the same app without it. Asserts nothing.

    PYTHONPATH=../.. ../../../target/venv-python/bin/python latency.py      after `run`, with the same environment
"""

from adapters import ADAPTERS
from python_helpers.latency import print_added

for adapter in (ADAPTERS[0], ADAPTERS[2]):
    print_added(adapter.with_own_database("latency"), adapter.api, rounds=600, warm_up=50)
