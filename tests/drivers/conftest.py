"""Leaves the server as it was."""

import psycopg
import pytest
from clients import CASES


@pytest.fixture(scope="session", autouse=True)
def tidy():
    yield
    with psycopg.connect(dbname="postgres", autocommit=True) as admin:
        for column in CASES["columns"]:
            admin.execute(f"DROP DATABASE IF EXISTS guard_drivers_{column} WITH (FORCE)")
