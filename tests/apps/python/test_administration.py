"""What the pages for administrators ask of the database, and what they are told where the role may not."""

import psycopg
import pytest
from adapters import OWNER
from pg_session_guard.core import administration
from pg_session_guard.core.administration import Filter
from python_helpers import databases

DATABASE, APP = "session_guard_python_administration", "session_guard_pages"
USERS = '"Our users"'


@pytest.fixture(scope="module")
def database():
    for name in (OWNER, APP):
        databases.create_role(name)
    databases.create_database(DATABASE, OWNER)
    with databases.connect(DATABASE, OWNER) as owner:
        owner.execute(f"CREATE TABLE {USERS} (id bigint PRIMARY KEY, active bool DEFAULT true)")
        owner.execute(f"INSERT INTO {USERS} SELECT generate_series(1, 9)")
    yield DATABASE
    databases.drop_database(DATABASE)


def run_as(user):
    def run(statement, values):
        with databases.connect(DATABASE, user) as connection:
            return connection.execute(statement, values or None).fetchall()

    return run


@pytest.fixture(scope="module")
def run(database):
    assert administration.read_rights(run_as(APP), USERS).see == administration.ABSENT
    with databases.connect(DATABASE, OWNER) as owner:
        owner.execute("CREATE EXTENSION pg_session_guard")
        owner.execute(f"SELECT session_guard.attach('{USERS}')")
        owner.execute(f"UPDATE {USERS} SET active = false WHERE id = 2")
    rights = administration.read_rights(run_as(APP), USERS)
    for problem in (rights.see, rights.end, rights.health):
        assert APP in problem.message
        with databases.connect(DATABASE, OWNER) as owner:
            for statement in problem.statements:
                owner.execute(statement)
    assert administration.read_rights(run_as(APP), USERS) == administration.Rights(True, None, None, None)
    return run_as(APP)


def test_what_a_role_lacks_is_told_and_the_statements_give_it(run):
    assert not [one for one in administration.read_findings(run) if one.check == "version" and not one.ok]
    assert administration.read_guards(run, USERS) == (["public.Our users"], "public.Our users")


def test_the_sessions_of_the_selected_end_and_the_record_has_the_name(run):
    reason = administration.reason_of("<b>bob</b>", "lost\0 phone\n")
    assert administration.end_sessions(run, USERS, ["4", "3", "77"], reason, "2s") == 2
    accounts = administration.read_accounts(run, USERS, ["1", "2", "3", "77"])
    assert {one.user_id: one.state for one in accounts.values()} == {
        "1": "active",
        "2": "disabled",
        "3": "active",
        "77": "unknown",
    }
    assert accounts["1"].reason is None
    assert accounts["3"].reason == "admin: by <b>bob</b>: lost phone"
    events, more = administration.read_history(run, USERS, "3")
    assert ([one.reason for one in events], more) == ([accounts["3"].reason], False)


def test_a_change_that_is_not_committed_is_not_waited_for_long(run):
    with psycopg.connect(dbname=DATABASE, user=OWNER) as other:
        other.execute(f"UPDATE {USERS} SET active = false WHERE id = 5")
        with pytest.raises(administration.Busy):
            administration.end_sessions(run, USERS, ["1", "5"], "by bob", "50ms")
        other.rollback()
    assert administration.read_history(run, USERS, "1") == ([], False)


def test_the_record_is_read_in_pages_the_newest_first_and_by_filters(run):
    for user_id in ("6", "7", "8"):
        administration.end_sessions(run, USERS, [user_id], "by alice", "2s")
    seen, after = [], None
    while True:
        events, more = administration.read_record(run, Filter(kind="admin", after=after), 2)
        seen += events
        if not more:
            break
        after = events[-1].place
    assert [one.user_id for one in seen][:3] == ["8", "7", "6"]
    assert len({one.id for one in seen}) == len(seen)
    of_one, _ = administration.read_record(run, Filter("public.Our users", "admin", "hour", "7"), 9)
    assert [one.user_id for one in of_one] == ["7"]
    assert administration.read_record(run, Filter(guard="public.others"), 9) == ([], False)


@pytest.mark.parametrize("text", [None, "", "x_1", "2026-01-01T00:00:00_1", "9999-99-99T00:00:00+00:00_1", "1_1'"])
def test_a_place_that_is_none_is_the_begin(text):
    assert administration.place_of(text) is None
