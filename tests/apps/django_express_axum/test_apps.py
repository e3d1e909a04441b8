"""A disabled account's sessions end in the Django, Express and axum apps, and stay dead."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest
from apps import AXUM_APP, DJANGO, EXPRESS
from browser import (
    LONGEST,
    assert_no_login,
    assert_refused,
    assert_served,
    log_in,
    logged_in,
)

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
