"""A disabled account's sessions end in the Django, Express and axum apps, and stay dead."""

import base64
import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import unquote

import psycopg
import pytest
from apps import AXUM_APP, DJANGO, EXPRESS, OWNER
from browser import (
    LONGEST,
    PAGE,
    assert_no_login,
    assert_refused,
    assert_served,
    assert_unavailable,
    log_in,
    logged_in,
    page,
)
from python_helpers.waiting import wait_until

# What the packages do alike in every app is tested with them, in ../python and ../node. The axum app asks by itself.
without_a_package = pytest.mark.parametrize("app", [AXUM_APP], ids=["axum"], indirect=True)

# Sessions that are there already.


def test_a_session_ends_when_its_account_is_disabled_and_stays_dead(app, server):
    cookies = logged_in(server)
    assert_served(server, cookies)
    app.set_active(False)
    assert_refused(server, cookies)
    app.set_active(True)
    assert_refused(server, cookies)
    assert_served(server, logged_in(server))


def test_a_session_that_did_not_ask_while_its_account_was_disabled_is_dead_too(app, server):
    cookies = logged_in(server)
    app.set_active(False)
    app.set_active(True)
    assert_refused(server, cookies)


@without_a_package
def test_without_the_stamps_the_old_session_is_back(app, server):
    """The control: it is the guard that the test above sees at work."""
    cookies = logged_in(server)
    app.sql(f"ALTER TABLE {app.table} DISABLE TRIGGER USER")
    try:
        app.set_active(False)
        app.set_active(True)
        assert_served(server, cookies)
    finally:
        app.sql("SELECT session_guard.reconcile()")
    assert app.sql("SELECT session_guard.revoke_sessions(1)") is not None
    assert_refused(server, cookies)


def test_a_refused_browser_is_sent_a_cookie_of_nobody(app, server):
    cookies = logged_in(server)
    app.set_active(False)
    answer = assert_refused(server, cookies)
    sent = answer.headers["Set-Cookie"]
    if app is EXPRESS:  # With the message for the login page.
        assert list(json.loads(base64.b64decode(answer.cookies["session"]))) == ["guard_message"]
    elif app is AXUM_APP:  # The same, signed by 44 characters before it.
        assert list(json.loads(unquote(answer.cookies["session"])[44:])) == ["guard_message"]
    else:
        assert sent.startswith(("session=;", 'sessionid="";'))
        assert "01 Jan 1970" in sent or "Max-Age=0" in sent


@pytest.fixture
def password_hash(app):
    """Put back after a test that changes it."""
    password_hash = app.password_hash()
    yield password_hash
    app.set_password_hash(password_hash)


def test_a_new_password_ends_the_sessions(app, server, password_hash):
    cookies = logged_in(server)
    app.set_password_hash("none")
    assert_refused(server, cookies)
    app.set_password_hash(password_hash)
    assert_refused(server, cookies)
    assert_served(server, logged_in(server))


@without_a_package
def test_an_ordinary_session_goes_on(app, server):
    cookies = logged_in(server)
    assert [page(server, cookies).status_code for _ in range(50)] == [200] * 50


def test_a_cookie_that_was_not_signed_here_is_refused(app, server, tmp_path):
    with app.serve(tmp_path / "log", SECRET_KEY="another secret, longer than 32 bytes too") as other:
        cookies = logged_in(other)
        assert_served(other, cookies)
    assert_refused(server, cookies)


# Logins.


def test_a_disabled_account_cannot_log_in(app, server):
    app.set_active(False)
    assert_no_login(server, *log_in(server))


def test_a_wrong_password_gives_no_session(app, server):
    assert_no_login(server, *log_in(server, password="another"))
    assert_no_login(server, *log_in(server, password=""))


def test_an_unknown_user_gets_no_session(app, server):
    assert_no_login(server, *log_in(server, username="nobody"))
    assert_no_login(server, *log_in(server, username="nobody", password="nobody"))


@without_a_package
def test_a_login_stamps_nothing(app, server):
    earlier = logged_in(server)
    before = app.sql("SELECT count(*) FROM session_guard.event")
    later = logged_in(server)
    assert app.sql("SELECT count(*) FROM session_guard.event") == before
    assert_served(server, earlier)
    assert_served(server, later)


def test_a_login_that_waited_for_a_disable_gives_no_session(app, server):
    with app.changing(app.active, False) as disabling, ThreadPoolExecutor() as background:
        login = background.submit(log_in, server)
        app.wait_until_somebody_waits_for_a_lock()
        disabling.commit()
        answer, cookies = login.result(LONGEST)
    assert_no_login(server, answer, cookies)
    app.set_active(True)
    assert_refused(server, cookies)


def test_a_login_that_waited_for_a_new_password_needs_the_new_one(app, server, password_hash):
    """So the hash is read after session_start."""
    with app.changing(app.password, "none") as changing, ThreadPoolExecutor() as background:
        login = background.submit(log_in, server)
        app.wait_until_somebody_waits_for_a_lock()
        changing.commit()
        answer, cookies = login.result(LONGEST)
    assert_no_login(server, answer, cookies)


@without_a_package
def test_a_login_does_not_wait_for_ever_for_a_disable(app, server):
    with app.changing(app.active, False) as disabling:
        answer, cookies = log_in(server)
        disabling.rollback()
    assert_unavailable(answer)
    assert_refused(server, cookies)


# Errors.


# Of the default guard, and of one that is named.
VALID = [f"session_valid({users}{user}, timestamptz)" for users in ("", "regclass, ") for user in ("text", "bigint")]
START = [f"session_start({users}{user})" for users in ("", "regclass, ") for user in ("text", "bigint")]


@contextmanager
def revoked(app, signatures):
    functions = ", ".join(signatures)
    app.sql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM {OWNER}, pg_database_owner")
    try:
        yield
    finally:
        app.sql(f"GRANT EXECUTE ON FUNCTION {functions} TO {OWNER}, pg_database_owner")


@without_a_package
def test_an_error_in_the_check_serves_no_page(app, server):
    cookies = logged_in(server)
    with revoked(app, VALID):
        assert_unavailable(page(server, cookies))
    # The check could not say that the session had ended.
    assert_served(server, cookies)


@without_a_package
def test_an_error_at_the_login_gives_no_session(app, server):
    with revoked(app, START):
        answer, cookies = log_in(server)
        assert_unavailable(answer)
    assert_refused(server, cookies)


@without_a_package
def test_without_its_database_an_app_serves_no_page_and_comes_back_by_itself(app, server):
    cookies = logged_in(server)
    admin = psycopg.connect(dbname="postgres", autocommit=True)
    admin.execute(f"ALTER DATABASE {app.database} ALLOW_CONNECTIONS false")
    try:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (app.database,),
        )
        for _ in range(2):  # Of a connection that broke, and without any.
            assert_unavailable(page(server, cookies))
    finally:
        admin.execute(f"ALTER DATABASE {app.database} ALLOW_CONNECTIONS true")
        admin.close()
    wait_until("the app is back", lambda: page(server, cookies).status_code != 503)
    assert_served(server, cookies)


# Without the middleware.


@pytest.mark.parametrize("app", [DJANGO], ids=["django"], indirect=True)
def test_django_alone_takes_the_old_session_back(app, tmp_path):
    with app.serve(tmp_path / "log", app.unprotected) as address:
        cookies = logged_in(address)
        app.set_active(False)
        assert_refused(address, cookies)
        app.set_active(True)
        assert_served(address, cookies)


@pytest.mark.parametrize("app", [EXPRESS], ids=["express"], indirect=True)
def test_express_alone_does_not_even_see_the_disable(app, tmp_path):
    with app.serve(tmp_path / "log", app.unprotected) as address:
        cookies = logged_in(address)
        app.set_active(False)
        assert_served(address, cookies)


def cookie_header(cookies):
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {**PAGE, "Cookie": cookie} if cookie else PAGE


@without_a_package
def test_what_a_guarded_request_costs(app, server, capsys):
    # Beside a page that the layer leaves alone.
    pages = {"guarded": "/private", "unguarded": "/login"}
    connections = {name: http.client.HTTPConnection(server.removeprefix("http://"), timeout=LONGEST) for name in pages}
    headers = {"guarded": cookie_header(logged_in(server)), "unguarded": PAGE}
    taken = {name: [] for name in pages}
    for round in range(330):
        for name, path in pages.items():
            began = time.perf_counter()
            connections[name].request("GET", path, headers=headers[name])
            answer = connections[name].getresponse()
            answer.read()
            if round >= 30:  # By then everything is warm.
                taken[name].append((time.perf_counter() - began) * 1000)
            assert answer.status == 200
    for connection in connections.values():
        connection.close()
    with capsys.disabled():
        for name, values in taken.items():
            low, median, high = statistics.quantiles(values, n=4)
            print(f"\n{app.name}, {name}: {median:.2f} ms (quartiles {low:.2f} to {high:.2f})", end="")
