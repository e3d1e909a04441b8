"""The same cases through each driver, with its natural values: the same answers from all, but where a case excepts one."""

from collections import defaultdict

import pytest
from clients import CASES, DRIVERS, ask, expected_answers, make_database

# A literal cannot be a call whose answer psql does not know yet.
ONE_WAY = {"psql": ["session_start", "session_start, disabled", "round trip"]}


@pytest.fixture(scope="session")
def databases():
    return {column: make_database(column) for column in CASES["columns"]}


@pytest.fixture(scope="session")
def answers(databases):
    """What the drivers said, by driver, case and call; printed as a table at the end."""
    said = {}
    yield said
    print_table(said)


@pytest.mark.parametrize("column", CASES["columns"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_answers_are_those_of_the_table(driver, column, databases, answers):
    said = ask(driver, databases[column])
    answers[driver, column] = said
    expected = dict(expected_answers(driver, column))
    assert said.keys() == expected.keys()
    wrong = [f"{case}, {way}: {answer}, expected {expected[case](way)}"
             for case, ways in said.items() for way, answer in ways.items() if answer != expected[case](way)]
    assert not wrong, "\n".join(wrong)
    ways = {way for ways in said.values() for way in ways}
    assert all(ways == set(asked) for (name, *_), asked in said.items() if name not in ONE_WAY.get(driver, []))


def print_table(said):
    shown = sorted({name for (_, column), cases in said.items() for name, guard, _ in cases if not guard or name.startswith("token")})
    rows = defaultdict(dict)
    for (driver, column), cases in said.items():
        for (name, guard, call), ways in cases.items():
            if call != "session_valid" and guard != "staff":
                rows[name].setdefault(driver, set()).update(ways.values())
    drivers = [driver for driver in DRIVERS if any(driver in row for row in rows.values())]
    width = max(map(len, shown), default=0)
    print("\n" + " " * width, *(f"{driver:15}" for driver in drivers))
    for name in shown:
        print(f"{name:{width}}", *(f"{'/'.join(sorted(rows[name].get(driver, []))):15}" for driver in drivers))
