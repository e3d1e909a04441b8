"""Prints what the guard adds to a request, by turns with Superset alone: see python_helpers/added_time.py. Asserts no figure."""

import sys

from conftest import DATABASE, ENVIRONMENT, HERE
from python_helpers import ROOT
from python_helpers.added_time import print_added


def test_guarded_and_stock_requests_are_answered_by_turns(database):
    folders = f"{ROOT / 'tests'}:{ENVIRONMENT['PYTHONPATH']}"
    environment = {"PAIRS": "300", **ENVIRONMENT, "PYTHONPATH": folders, "SUPERSET_CONFIG_PATH": str(HERE / "stock.py")}
    print()
    print_added("superset", DATABASE, [sys.executable, HERE / "by_turns.py"], environment, HERE)
