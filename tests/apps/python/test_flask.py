"""What only Flask-Login has: logins that are remembered. And guards that are named."""

from datetime import timezone

import pytest
from adapters import ADAPTERS, ATTACH
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask_login import decode_cookie, encode_cookie

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)

SECRET_KEY = "a secret of the tests, longer than 32 bytes"


def remembered(cookies):
    """As after the browser was closed: the session is gone, what is remembered is not."""
    return {name: value for name, value in cookies.items() if name != "session"}


def test_a_remembered_login_goes_on_and_ends_with_its_account(adapter, server):
    adapter.set_active(False)
    adapter.set_active(True)  # So there is a stamp, before which a login without a time would lie.
    cookies = remembered(server.logged_in(remember="1"))
    assert server.is_served(cookies)
    adapter.set_active(False)
    adapter.set_active(True)
    assert not server.is_served(cookies)


def test_without_its_time_a_remembered_login_does_not_count_after_a_stamp(adapter, server):
    adapter.set_active(False)
    adapter.set_active(True)
    cookies = remembered(server.logged_in(remember="1"))
    assert not server.is_served({"remember_token": cookies["remember_token"]})
    bob = remembered(server.logged_in("bob", remember="1"))
    assert not server.is_served({**cookies, "remember_token_guard": bob["remember_token_guard"]})


def after_flask_logins_own_logout(cookie):
    app = Flask(__name__)
    app.secret_key = SECRET_KEY
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    left = {key: value for key, value in signer.loads(cookie).items() if key not in ("_user_id", "_fresh", "_id")}
    assert left["guard_login_at"]
    return signer.dumps(left)


def test_the_time_of_a_user_who_logged_out_lets_no_other_user_in(adapter, server):
    stolen = server.logged_in("bob", remember="1")["remember_token"]
    adapter.set_active(False, "bob")
    adapter.set_active(True, "bob")
    session = after_flask_logins_own_logout(server.logged_in()["session"])
    assert not server.is_served({"session": session, "remember_token": stolen})


def test_what_flask_login_has_signed_is_no_login_time(adapter, server):
    """As an id that the user has chosen, of another app user, may look like one."""
    cookies = remembered(server.logged_in(remember="1"))
    adapter.set_active(False)
    adapter.set_active(True)
    app = Flask(__name__)
    app.secret_key = SECRET_KEY
    number = adapter.sql("SELECT id FROM users WHERE username = 'alice'")
    after = adapter.sql("SELECT session_start(id::text) FROM users WHERE username = 'alice'")
    kept = f"{after.astimezone(timezone.utc).isoformat(timespec='microseconds')}  {number} {number}"
    with app.app_context():
        signed = encode_cookie(kept)
        ours = decode_cookie(cookies["remember_token_guard"].strip('"'))
    assert not server.is_served({**cookies, "remember_token_guard": f'"{signed}"'})
    assert ours is None


def test_a_remembered_time_that_is_not_ascii_is_none(adapter, server):
    cookies = remembered(server.logged_in(remember="1"))
    adapter.set_active(False)
    adapter.set_active(True)
    assert server.get("/private", {**cookies, "remember_token_guard": "x|\u00e9"}).status_code == 401


def test_an_ended_session_takes_what_is_remembered_with_it(adapter, server):
    cookies = server.logged_in(remember="1")
    adapter.set_active(False)
    answer = server.get("/private", cookies)
    assert answer.status_code == 401
    for name in ("remember_token", "remember_token_guard"):
        assert f"{name}=;" in answer.headers["Set-Cookie"]


def test_a_guard_can_be_named(adapter, tmp_path):
    adapter.sql("SELECT session_guard.attach('users', is_default => false)")
    try:
        with adapter.serve(tmp_path / "log", USERS="public.users") as server:
            alice = server.logged_in()
            assert server.is_served(alice)
            adapter.set_active(False)
            adapter.set_active(True)
            assert not server.is_served(alice)
    finally:
        adapter.sql(f"SELECT session_guard.{ATTACH}")
