"""What all adapters do alike, over HTTP. A cookie is passed by hand, as a thief would pass a copy."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from adapters import HTML, IMPATIENT, LONGEST, OWNER
from python_helpers import PASSWORD, databases
from python_helpers.databases import connect
from python_helpers.waiting import wait_until


def raw_sql(server, active):
    server.adapter.set_active(active)


def bulk(server, active):
    adapter = server.adapter
    adapter.sql(f"UPDATE {adapter.table} SET {adapter.active} = %s WHERE username IN ('alice', 'nobody')", active)


def orm(server, active):
    assert server.get(f"/by-orm/{int(active)}").status_code == 200


@pytest.mark.parametrize("set_active", [raw_sql, bulk, orm])
def test_a_session_ends_with_its_account_and_stays_dead(server, set_active):
    alice, asleep, bob = server.logged_in(), server.logged_in(), server.logged_in("bob")
    assert server.is_served(alice) and server.is_served(bob, "bob")
    set_active(server, False)
    assert not server.is_served(alice)
    answer, cookies = server.log_in()
    assert answer.status_code in (200, 302, 401) and server.is_nobody(cookies)
    set_active(server, True)
    # Also the one that did not ask while the account was disabled.
    assert not server.is_served(alice) and not server.is_served(asleep)
    assert server.is_served(server.logged_in()) and server.is_served(bob, "bob")
    assert not server.is_served(alice)


@pytest.fixture(scope="module")
def unguarded(adapter, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp("unguarded") / "log", UNGUARDED="1") as server:
        yield server


def test_without_the_guard_the_old_session_is_back(adapter, unguarded):
    """The control: it is the guard that the test above sees at work."""
    alice = unguarded.logged_in()
    adapter.set_active(False)
    adapter.set_active(True)
    assert unguarded.is_served(alice)


def test_a_page_leads_to_the_login_with_a_message_and_an_api_says_401(server):
    page, api = server.logged_in(), server.logged_in()
    server.adapter.set_active(False)
    answer = server.get(server.adapter.page, page, **HTML)
    assert server.leads_to_login(answer) and answer.headers["Cache-Control"] == "no-store"
    form = server.get(answer.headers["Location"].removeprefix(server.address), {**page, **answer.cookies}, **HTML)
    assert form.text.count("Your session has ended. Please log in again.") == 1
    answer = server.get(server.adapter.api, api, Accept="application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.status_code, "session has ended" in answer.headers["WWW-Authenticate"]) == (401, True)
    assert answer.headers["Content-Type"] == "application/json" or server.adapter.name == "fab"


def test_what_is_refused_to_a_script_of_a_page_is_told_by_the_next_page(server):
    alice = server.logged_in()
    server.adapter.set_active(False)
    refused = server.get(server.adapter.api, alice, Accept="application/json")
    assert refused.status_code == 401
    answer = server.get(server.adapter.page, {**alice, **refused.cookies}, **HTML)
    cookies = {**alice, **refused.cookies, **answer.cookies}
    form = server.get(answer.headers["Location"].removeprefix(server.address), cookies, **HTML)
    assert form.text.count("Your session has ended. Please log in again.") == 1


def test_a_page_that_is_open_to_all_stays_open(server):
    alice = server.logged_in()
    server.adapter.set_active(False)
    assert server.get("/open", alice, **HTML).status_code == 200


# What it costs.


def test_a_request_runs_no_statement_more_than_without_the_guard(server, unguarded):
    def count(each):
        cookies = each.logged_in()
        paths = (each.adapter.page, each.adapter.api)
        return [each.statements(path, cookies) for path in paths for _ in range(2)]

    guarded = count(server)
    assert guarded == count(unguarded)
    assert min(guarded) >= 1


def test_static_files_and_open_pages_ask_nothing(server):
    alice = server.logged_in()
    assert server.get(server.adapter.static, alice).status_code == 200
    assert server.get(server.adapter.static, alice).headers.get("X-Statements", "0") == "0"
    assert server.statements("/open", alice) == 0


# A new password.


def change(server, path, cookies, **more):
    new = "a new and better one"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, **more}
    if server.adapter.name != "django":
        import requests

        answer = requests.post(
            server.address + path, data=fields, cookies=cookies, headers=HTML, allow_redirects=False, timeout=LONGEST
        )
        return answer, {**cookies, **answer.cookies}
    return server.send(path, cookies, **fields)


def test_a_password_change_spares_the_session_that_asks_and_ends_the_others(server, password):
    this, other = server.logged_in(), server.logged_in()
    answer, changed = change(server, password, this)
    assert answer.status_code == 302, answer.text
    assert server.is_served(changed)
    assert not server.is_served(other) and not server.is_served(this)
    assert server.is_served(server.logged_in(password="a new and better one"))


@pytest.mark.parametrize("way", [{}, {"plain": "1"}], ids=["at", "plain"])
def test_a_session_that_is_kept_is_ended_by_what_comes_later(server, password, way):
    if way and server.adapter.name == "django":
        pytest.skip("Django keeps it by itself")
    answer, changed = change(server, password, server.logged_in(), **way)
    assert answer.status_code == 302 and server.is_served(changed)
    server.adapter.sql(f"UPDATE {server.adapter.table} SET password = 'none' WHERE username = 'alice'")
    assert not server.is_served(changed)


# By an administrator, after the user's own change is committed and before its session is kept.
MEANWHILE = [
    "UPDATE {table} SET password = 'reset' WHERE username = 'alice'",
    "SELECT session_guard.revoke_sessions({key}::text) FROM {table} WHERE username = 'alice'",
]


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=["reset", "revoked"])
def test_a_session_that_somebody_else_ends_meanwhile_is_not_kept(server, password, meanwhile):
    adapter = server.adapter
    if adapter.name == "django":
        pytest.skip("in test_django.py")
    statement = meanwhile.format(table=adapter.table, key="id")
    answer, changed = change(server, password, server.logged_in(), meanwhile=statement)
    assert answer.status_code == 302, answer.text
    assert server.is_nobody(changed)


def test_a_new_password_by_sql_ends_all(server, password):
    alice = server.logged_in()
    server.adapter.sql(f"UPDATE {server.adapter.table} SET password = 'none' WHERE username = 'alice'")
    assert not server.is_served(alice)


# Errors.


def without(adapter, function):
    return databases.without_execute(adapter.database, function, OWNER)


def test_an_error_in_the_check_is_a_503_and_logs_nobody_out(server):
    alice = server.logged_in()
    with without(server.adapter, "session_valid"):
        page, api = server.get(server.adapter.page, alice, **HTML), server.get(server.adapter.api, alice)
        assert (page.status_code, api.status_code) == (503, 503)
        assert "alice" not in page.text + api.text
        # FastAPI has one form for all errors.
        own = "application/json" if "fastapi" in server.adapter.name else "text/html"
        assert page.headers["Content-Type"].startswith(own)
        assert api.headers["Content-Type"] == "application/json"
        assert page.headers["Cache-Control"] == api.headers["Cache-Control"] == "no-store"
    assert server.is_served(alice)


def test_an_error_at_the_login_gives_no_session(server):
    with without(server.adapter, "session_start"):
        answer, cookies = server.log_in()
        assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
    assert server.is_nobody(cookies)


def test_fail_open_passes_the_guard_over(adapter, tmp_path):
    with adapter.serve(tmp_path / "log", FAIL_OPEN="1") as server:
        alice = server.logged_in()
        with without(adapter, "session_valid"):
            assert server.is_served(alice)
            adapter.set_active(False)
        assert not server.is_served(alice)


def test_without_its_database_an_app_serves_no_page_and_comes_back_by_itself(server):
    adapter, alice = server.adapter, server.logged_in()
    with connect("postgres") as admin:
        admin.execute(f"ALTER DATABASE {adapter.database} ALLOW_CONNECTIONS false")
        try:
            end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(end, (adapter.database,))
            for _ in range(2):  # Of a connection that broke, and without any.
                assert server.get(adapter.page, alice, **HTML).status_code == 503
                # Flask-AppBuilder reads what everybody may do before it asks who it is, and has its own 500.
                expected = 500 if adapter.name == "fab" else 503
                assert server.get(adapter.api, alice).status_code == expected
        finally:
            admin.execute(f"ALTER DATABASE {adapter.database} ALLOW_CONNECTIONS true")
    wait_until("the app is back", lambda: server.get(adapter.page, alice, **HTML).status_code == 200)
    assert server.is_served(alice)


# Logins.


@pytest.fixture
def disabling(adapter):
    """A connection that has disabled alice and has not committed yet."""
    with psycopg.connect(dbname=adapter.database) as connection:
        connection.execute(f"UPDATE {adapter.table} SET {adapter.active} = false WHERE username = 'alice'")
        yield connection
        connection.rollback()


def test_a_login_that_meets_a_lock_waits_no_longer_than_its_own_timeout(adapter, disabling, tmp_path):
    with adapter.serve(tmp_path / "log", **IMPATIENT) as server:
        answer, cookies = server.log_in()
        # The lock is still there.
        assert answer.status_code == 503
        disabling.rollback()
        assert server.is_nobody(cookies) and server.is_served(server.logged_in())


def test_a_login_that_waited_for_a_disable_gives_no_session(server, disabling):
    with ThreadPoolExecutor() as background:
        login = background.submit(server.log_in)
        server.adapter.wait_until_somebody_waits_for_a_lock()
        disabling.commit()
        _, cookies = login.result(LONGEST)
    assert server.is_nobody(cookies)
    server.adapter.set_active(True)
    assert server.is_nobody(cookies)


def test_a_login_that_waited_for_a_new_password_gives_no_session_by_the_old_one(adapter, server):
    if adapter.name == "fab":
        adapter.sql("SELECT session_guard.attach('ab_user', revoke_on => '{password}')")
    with psycopg.connect(dbname=adapter.database) as changing:
        (old,) = changing.execute(f"SELECT password FROM {adapter.table} WHERE username = 'alice'").fetchone()
        update = f"UPDATE {adapter.table} SET password = %s WHERE username = 'alice'"
        try:
            changing.execute(update, ["none"])
            with ThreadPoolExecutor() as background:
                login = background.submit(server.log_in)
                adapter.wait_until_somebody_waits_for_a_lock()
                changing.commit()
                _, cookies = login.result(LONGEST)
            assert server.is_nobody(cookies)
        finally:
            changing.execute(update, [old])
            if adapter.name == "fab":
                changing.execute("SELECT session_guard.attach('ab_user', revoke_on => '{}')")


def test_many_log_in_at_once(server):
    with ThreadPoolExecutor(12) as crowd:
        logins = [crowd.submit(server.logged_in, ("alice", "bob")[number % 2]) for number in range(12)]
    sessions = [login.result() for login in logins]
    assert all(server.is_served(cookies, ("alice", "bob")[number % 2]) for number, cookies in enumerate(sessions))
