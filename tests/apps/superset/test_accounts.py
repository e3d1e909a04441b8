"""Accounts that are disabled and enabled again, as browsers and API clients see it: with the
example's configuration, and with Superset alone on the same database."""

import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests
from account_changes import ALICE, CHANGES, raw_update
from client import TIMEOUT, ApiClient, Browser, api_login
from conftest import DATABASE, OWNER, run, serve
from python_helpers.databases import connect
from python_helpers.waiting import wait_until_somebody_waits_for_a_lock

World = namedtuple("World", "db guarded admin alice role old")

SERVED = {"page": 200, "cookie": 200, "access": 200, "refresh": 200}
REFUSED = {"page": "/login/", "cookie": 401, "access": 401, "refresh": 401}


@pytest.fixture
def world(database, guarded, admin):
    alice, role = database.execute(
        f"SELECT user_id, role_id FROM ab_user JOIN ab_user_role ON user_id = ab_user.id WHERE {ALICE}"
    ).fetchone()
    with open_transaction() as old:
        yield World(database, guarded, admin, alice, role, old)
    database.execute("UPDATE ab_user SET active = true WHERE NOT active")


def open_transaction():
    """A connection whose transaction has begun."""
    connection = connect(DATABASE)
    connection.autocommit = False
    connection.execute("SELECT now()")
    return connection


class Login:
    """The same person's, by both ways."""

    def __init__(self, address, name="alice"):
        self.browser, self.api = Browser(address, name), ApiClient(address, name)

    def statuses(self):
        return self.browser.statuses() | self.api.statuses()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_sessions_and_tokens_end_with_the_account_and_stay_dead(world, servers, statuses, change):
    logins = {name: Login(address) for name, address in servers.items()}
    assert {name: login.statuses() for name, login in logins.items()} == {
        "guarded": SERVED,
        "stock": SERVED,
    }
    change(world, False)
    disabled = {name: login.statuses() for name, login in logins.items()}
    assert not api_login(world.guarded).ok
    change(world, True)
    enabled = {name: login.statuses() for name, login in logins.items()}

    for name in logins:
        both = {what: f"{disabled[name][what]} {enabled[name][what]}" for what in SERVED}
        statuses.append({"change": change.__name__, "server": name, **both})
    assert (disabled["guarded"], enabled["guarded"]) == (REFUSED, REFUSED)
    # The control: it is the example that the line above sees at work.
    assert (disabled["stock"], enabled["stock"]) == (REFUSED, SERVED)

    # At once: here a token's own time, cut to whole seconds, would be too early.
    assert Login(world.guarded).statuses() == SERVED
    assert logins["guarded"].statuses() == REFUSED


# The message.

MESSAGE = "Your session has ended. Please log in again."


@pytest.mark.parametrize("path", ["/dashboard/list/", "/api/v1/me/"], ids=["page", "script"])
def test_the_login_page_says_once_that_the_session_has_ended(world, path):
    """A page's scripts go to the login page after a 401."""
    browser = Browser(world.guarded)
    assert MESSAGE not in browser.ask("GET", "/dashboard/list/").text
    raw_update(world, False)
    browser.keep(browser.ask("GET", path))
    first, second = browser.keep(browser.ask("GET", "/login/")), browser.keep(browser.ask("GET", "/login/"))
    assert first.text.count(f'role="alert" style') == first.text.count(MESSAGE) == 1
    # All else of the page is as it was.
    assert second.text.count("<body") == first.text.count("<body") == 1
    assert MESSAGE not in second.text
    assert MESSAGE not in requests.get(f"{world.guarded}/login/", timeout=TIMEOUT).text


# Logins that meet a disable.


def disable_without_committing(world):
    world.old.execute(f"UPDATE ab_user SET active = false WHERE {ALICE}")


def test_a_login_that_a_pending_disable_overtakes_gives_no_session(world, servers, statuses):
    disable_without_committing(world)
    with ThreadPoolExecutor() as pool:  # Each waits for the lock until its timeout.
        pending = {name: pool.submit(Browser, address) for name, address in servers.items()}
        token = pool.submit(api_login, world.guarded)
    browsers = {name: browser.result() for name, browser in pending.items()}
    assert browsers["guarded"].answer.status_code == 503
    assert "access_token" not in token.result().json()

    world.old.commit()
    disabled = {name: browser.statuses() for name, browser in browsers.items()}
    raw_update(world, True)
    enabled = {name: browser.statuses() for name, browser in browsers.items()}
    for name in browsers:
        both = {what: f"{disabled[name][what]} {enabled[name][what]}" for what in enabled[name]}
        row = {"change": "login while a disable is pending", "server": name, **both}
        statuses.append(row | {"access": "-", "refresh": "-"})
    refused = {"page": "/login/", "cookie": 401}
    assert (disabled["guarded"], enabled["guarded"]) == (refused, refused)
    assert (disabled["stock"], enabled["stock"]) == (refused, {"page": 200, "cookie": 200})


@pytest.mark.parametrize(
    ("log_in", "status"), [(lambda address: Browser(address).answer, 302), (api_login, 401)]
)
def test_a_login_that_waited_for_a_disable_gives_no_session(world, log_in, status):
    disable_without_committing(world)
    with ThreadPoolExecutor() as pool:
        login = pool.submit(log_in, world.guarded)
        wait_until_somebody_waits_for_a_lock(DATABASE)
        world.old.commit()
        answer = login.result()
    assert answer.status_code == status
    for enabled in (False, True):
        raw_update(world, enabled)
        me = requests.get(
            f"{world.guarded}/api/v1/me/", cookies=answer.cookies, timeout=TIMEOUT
        )
        assert (me.status_code, "access_token" in answer.text) == (401, False)


# Tokens.


def test_a_refreshed_token_is_as_old_as_its_login(guarded):
    """So a disable that meets the refresh counts for both."""
    # Just after a stamp every login time is that of the stamp, so somebody who has none.
    client = ApiClient(guarded, "newcomer")
    tokens = client.refresh, client.refreshed().json()["access_token"]
    old, new = (jwt.decode(token, options={"verify_signature": False})["guard_login_at"] for token in tokens)
    assert old == new


def test_sessions_from_before_the_guard_go_on_until_the_first_stamp(world, servers):
    old = Login(servers["stock"], "newcomer")
    old.browser.address = old.api.address = world.guarded
    assert old.statuses() == SERVED
    world.db.execute("UPDATE ab_user SET active = false WHERE username = 'newcomer'")
    world.db.execute("UPDATE ab_user SET active = true WHERE username = 'newcomer'")
    assert old.statuses() == REFUSED


# Errors.


@pytest.fixture
def guard_out_of_order(database):
    """Gives what breaks it."""
    functions = "FUNCTION session_valid(regclass, text, timestamptz), session_start(regclass, text)"
    yield lambda: database.execute(f"REVOKE EXECUTE ON {functions} FROM {OWNER}, pg_database_owner")
    database.execute(f"GRANT EXECUTE ON {functions} TO {OWNER}, pg_database_owner")


def test_an_error_refuses_sessions_and_logins(guarded, database, guard_out_of_order):
    login = Login(guarded, "admin")
    guard_out_of_order()
    assert login.statuses() == dict.fromkeys(SERVED, 503)
    # Without a stamp, a session that had no login time would count.
    refused = Browser(guarded, "admin")
    assert refused.answer.status_code == 503
    assert api_login(guarded, "admin").status_code == 500
    database.execute(f"GRANT EXECUTE ON FUNCTION session_valid(regclass, text, timestamptz) TO {OWNER}, pg_database_owner")
    assert refused.statuses() == {"page": "/login/", "cookie": 401}
    # Nobody was logged out: the check could not say that the session had ended.
    assert login.statuses() == SERVED


def test_fail_open_passes_the_guard_over_but_no_disabled_account(
    world, tmp_path, guard_out_of_order
):
    with serve("guarded", tmp_path, FAIL_OPEN="1") as address:
        before = Login(address)
        guard_out_of_order()
        meanwhile = Login(address)
        assert (before.statuses(), meanwhile.statuses()) == (SERVED, SERVED)
        raw_update(world, False)
        assert (before.statuses(), meanwhile.statuses()) == (REFUSED, REFUSED)


# Workers.


def test_a_report_s_worker_logs_in_as_its_user_and_commits_nothing_of_the_report_s(world):
    cookie = run("python", "-c", """
from superset.app import create_app
app = create_app()
with app.app_context():
    from superset import db
    from superset.utils.decorators import transaction
    from superset.utils.machine_auth import MachineAuthProvider

    @transaction()
    def report():
        users = app.appbuilder.sm
        users.find_user("admin").first_name = "of a report that fails"
        db.session.flush()
        cookie = MachineAuthProvider.get_auth_cookies(users.find_user("alice"))["session"]
        print("cookie", cookie)
        raise ValueError

    try:
        report()
    except ValueError:
        pass
""").rsplit("cookie ", 1)[1].strip()
    browser = Browser(world.guarded)
    browser.cookie = cookie
    assert browser.statuses() == {"page": 200, "cookie": 200}
    name = "SELECT first_name FROM ab_user WHERE username = 'admin'"
    assert world.db.execute(name).fetchone()[0] == "admin"
    raw_update(world, False)
    raw_update(world, True)
    assert browser.statuses() == {"page": "/login/", "cookie": 401}


# Ordinary days.


def test_more_logins_at_once_than_the_pool_has_connections(guarded):
    # The pool has 15. Different people, or their own row's locks would line them up.
    together = threading.Barrier(20)

    def log_in(number):
        together.wait(TIMEOUT)
        return Browser(guarded, ("admin", "alice", "newcomer")[number % 3]).statuses()["cookie"]

    with ThreadPoolExecutor(20) as crowd:
        assert list(crowd.map(log_in, range(20))) == [200] * 20


def test_an_ordinary_session_stays_logged_in(guarded):
    login = Login(guarded)
    assert [login.statuses() for _ in range(20)] == [SERVED] * 20
