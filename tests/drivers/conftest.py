"""Leaves the server as it was."""

import pytest
from clients import CASES
from python_helpers.databases import drop_database


@pytest.fixture(scope="session", autouse=True)
def tidy():
    yield
    for column in CASES["columns"]:
        drop_database(f"guard_drivers_{column}")
