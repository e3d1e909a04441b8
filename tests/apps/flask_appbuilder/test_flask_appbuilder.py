"""A disabled account's sessions and tokens end in a Flask-AppBuilder application that is protected, and stay dead."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import jwt
import psycopg
import pytest
import requests
from flask import session
from flask_login import current_user, login_user
from python_helpers import PASSWORD
from python_helpers.fab_login import bearer, log_in_by_api, log_in_by_form
from python_helpers.flask_appbuilder import DATABASE, OWNER, psql, serve
from python_helpers.waiting import Background, wait_until_somebody_waits_for_a_lock

# The longest that a request may take, on a slow machine that is busy with more.
LONGEST = 120

DISABLE = "UPDATE ab_user SET active = false WHERE username = 'alice'"
ENABLE = "UPDATE ab_user SET active = true WHERE username = 'alice'"


# A browser. The cookie is passed by hand, as a thief would: a browser's own store would drop it
# when the server says so.


def log_in(address, name="alice"):
    """Logs in by the form; gives the answer and the cookie that it set."""
    return log_in_by_form(address, name, LONGEST)


def logged_in(address):
    answer, cookie = log_in(address)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    return cookie


def page(address, cookie):
    return requests.get(
        f"{address}/private/page/", cookies={"session": cookie}, allow_redirects=False, timeout=LONGEST
    )


def api(address, cookie=None, token=None):
    return requests.get(
        f"{address}/api/v1/security/users/",
        cookies={"session": cookie} if cookie else {},
        headers=bearer(token) if token else {},
        timeout=LONGEST,
    ).status_code


def assert_served(address, cookie):
    answer = page(address, cookie)
    assert (answer.status_code, "Logged in as alice" in answer.text) == (200, True)
    assert api(address, cookie) == 200


def assert_refused(address, cookie):
    answer = page(address, cookie)
    assert answer.status_code == 302
    location = urlsplit(answer.headers["Location"])
    assert location.path == "/login/"
    assert parse_qs(location.query) == {"next": [f"{address}/private/page/"]}
    assert api(address, cookie) == 401


# An API client.


def api_login(address, name="alice"):
    return log_in_by_api(address, name, LONGEST)


def tokens(address, name="alice"):
    answer = api_login(address, name)
    assert answer.status_code == 200
    return answer.json()["access_token"], answer.json()["refresh_token"]


def refresh(address, token):
    return requests.post(
        f"{address}/api/v1/security/refresh", headers=bearer(token), timeout=LONGEST
    )


def login_at(token):
    return jwt.decode(token, options={"verify_signature": False})["guard_login_at"]


# Three ways to disable an account and to enable it again.


def by_psql(application, address, active):
    psql(ENABLE if active else DISABLE)


def by_orm(application, address, active):
    with application.app_context():
        users = application.appbuilder.sm
        users.find_user("alice").active = active
        users.session.commit()


def by_rest_api(application, address, active):
    with application.app_context():
        alice = application.appbuilder.sm.find_user("alice").id
    answer = requests.put(
        f"{address}/api/v1/security/users/{alice}",
        json={"active": active},
        headers=bearer(tokens(address, "admin")[0]),
        timeout=LONGEST,
    )
    assert answer.status_code == 200


each_way = pytest.mark.parametrize("set_active", [by_psql, by_orm, by_rest_api])


def test_without_a_login_the_page_leads_to_the_login_page(server):
    assert_refused(server, "no session")


@each_way
def test_a_disabled_account_is_out_at_the_next_request_and_stays_out(
    application, server, set_active
):
    cookie = logged_in(server)
    assert_served(server, cookie)

    set_active(application, server, False)
    assert_refused(server, cookie)
    refused, no_session = log_in(server)
    assert (refused.status_code, urlsplit(refused.headers["Location"]).path) == (302, "/login/")
    assert_refused(server, no_session)

    set_active(application, server, True)
    assert_refused(server, cookie)
    assert_served(server, logged_in(server))
    assert_refused(server, cookie)


def test_a_refused_session_is_taken_back_from_the_browser(server):
    cookie = logged_in(server)
    psql(DISABLE, ENABLE)
    taken_back = page(server, cookie).headers["Set-Cookie"]
    assert taken_back.startswith("session=") and cookie not in taken_back


@each_way
def test_a_disabled_account_s_tokens_are_refused_and_stay_refused(
    application, server, set_active
):
    access_token, refresh_token = tokens(server)
    refreshed = refresh(server, refresh_token)
    assert refreshed.status_code == 200
    of_the_same_login = [access_token, refreshed.json()["access_token"]]
    assert [api(server, token=token) for token in of_the_same_login] == [200, 200]

    set_active(application, server, False)
    assert [api(server, token=token) for token in of_the_same_login] == [401, 401]
    assert refresh(server, refresh_token).status_code == 401
    assert api_login(server).status_code == 401

    set_active(application, server, True)
    # At once: here a token's own time, cut to whole seconds, would be too early.
    new_access_token, new_refresh_token = tokens(server)
    assert api(server, token=new_access_token) == 200
    assert refresh(server, new_refresh_token).status_code == 200
    assert [api(server, token=token) for token in of_the_same_login] == [401, 401]
    assert refresh(server, refresh_token).status_code == 401


def test_a_refreshed_token_is_as_old_as_its_login(server):
    """So a disable that meets the refresh counts for both."""
    # Just after a stamp every login time is that of the stamp, so somebody who has none.
    refresh_token = tokens(server, "newcomer")[1]
    refreshed = refresh(server, refresh_token).json()["access_token"]
    assert login_at(refreshed) == login_at(refresh_token)


@pytest.fixture(scope="module")
def unprotected(application, tmp_path_factory):
    with serve("unprotected", tmp_path_factory.mktemp("unprotected") / "log") as address:
        yield address


@each_way
def test_without_the_protection_the_old_session_is_back(application, unprotected, set_active):
    """The control: it is the protection that the tests above see at work."""
    cookie = logged_in(unprotected)
    token = tokens(unprotected)[0]
    set_active(application, unprotected, False)
    assert_refused(unprotected, cookie)
    set_active(application, unprotected, True)
    assert_served(unprotected, cookie)
    assert api(unprotected, token=token) == 200


def test_sessions_and_tokens_from_before_the_protection_go_on_until_the_first_stamp(server, unprotected):
    # An account that no other test disables, so there is no stamp yet.
    answer, cookie = log_in(unprotected, "admin")
    token = tokens(unprotected, "admin")[0]
    assert page(server, cookie).status_code == 200
    assert api(server, token=token) == 200

    psql("UPDATE ab_user SET active = false WHERE username = 'admin'")
    psql("UPDATE ab_user SET active = true WHERE username = 'admin'")
    assert_refused(server, cookie)
    assert api(server, token=token) == 401


def test_an_error_in_the_check_refuses_sessions_and_tokens(server):
    cookie = logged_in(server)
    token = tokens(server)[0]
    check = "EXECUTE ON FUNCTION session_valid(regclass, text, timestamptz)"
    psql(f"REVOKE {check} FROM {OWNER}, pg_database_owner")
    try:
        answer = page(server, cookie)
        assert (answer.status_code, "alice" in answer.text) == (503, False)
        assert api(server, cookie) == 503
        assert api(server, token=token) == 503
    finally:
        psql(f"GRANT {check} TO {OWNER}, pg_database_owner")
    assert_served(server, logged_in(server))
    # Nobody was logged out: the check could not say that the session had ended.
    assert_served(server, cookie)
    assert api(server, token=token) == 200


def test_an_error_at_the_login_refuses_it(server):
    start = "EXECUTE ON FUNCTION session_start(regclass, text)"
    psql(f"REVOKE {start} FROM {OWNER}, pg_database_owner")
    try:
        # Without a stamp, a session that had no login time would count.
        answer, cookie = log_in(server, "newcomer")
        assert answer.status_code == 503
        assert_refused(server, cookie)
        assert api_login(server, "newcomer").status_code == 500
    finally:
        psql(f"GRANT {start} TO {OWNER}, pg_database_owner")
    assert_served(server, logged_in(server))


# Logins that meet a disable.


@pytest.fixture
def disabling():
    """A connection that has disabled alice and has not committed yet."""
    connection = psycopg.connect(dbname=DATABASE)
    connection.cursor().execute(DISABLE)
    yield connection
    connection.close()


def test_a_login_does_not_wait_for_ever_for_an_uncommitted_disable(server, disabling):
    answer, cookie = log_in(server)
    assert answer.status_code == 503
    assert_refused(server, cookie)
    disabling.commit()
    assert_refused(server, cookie)
    psql(ENABLE)
    assert_refused(server, cookie)


def test_a_login_that_waited_for_a_disable_gives_no_session(server, disabling):
    login = Background(log_in, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    disabling.commit()
    answer, cookie = login.result()
    assert answer.status_code == 302
    assert_refused(server, cookie)
    psql(ENABLE)
    assert_refused(server, cookie)


def test_an_api_login_that_waited_for_a_disable_gives_no_token(server, disabling):
    login = Background(api_login, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    disabling.commit()
    answer = login.result()
    assert answer.status_code == 401
    assert "access_token" not in answer.json()


def test_a_disable_between_the_password_check_and_the_login_refuses_it(application):
    with application.test_request_context():
        alice = application.appbuilder.sm.auth_user_db("alice", PASSWORD)
        assert alice.is_active
        psql(DISABLE)
        login_user(alice)
        assert not current_user.is_authenticated
        assert "_user_id" not in session


@pytest.fixture
def new_password():
    """A connection that has given alice another password and has not committed yet."""
    psql("SELECT session_guard.attach('ab_user', revoke_on => '{password}')")
    with psycopg.connect(dbname=DATABASE) as connection:
        old = connection.execute("SELECT password FROM ab_user WHERE username = 'alice'").fetchone()
        update = "UPDATE ab_user SET password = %s WHERE username = 'alice'"
        connection.execute(update, ["none"])
        yield connection
        connection.execute(update, old)
    psql("SELECT session_guard.attach('ab_user', revoke_on => '{}')")


def test_an_api_login_that_waited_for_a_new_password_gives_no_token_by_the_old_one(server, new_password):
    login = Background(api_login, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    new_password.commit()
    assert login.result().status_code == 401


def test_a_password_that_is_changed_while_it_is_checked_gives_no_login(application, new_password, monkeypatch):
    new_password.rollback()
    from flask_appbuilder.security import manager

    check = manager.check_password_hash

    def check_slowly(*given):
        checked = check(*given)
        psql("UPDATE ab_user SET password = 'none' WHERE username = 'alice'")
        return checked

    monkeypatch.setattr(manager, "check_password_hash", check_slowly)
    with application.test_request_context():
        assert application.appbuilder.sm.auth_user_db("alice", PASSWORD) is None


def test_a_login_that_ends_sessions_itself_counts(application):
    """As one that takes the user's roles from LDAP, where a change of them is watched."""
    with application.test_request_context():
        users = application.appbuilder.sm
        stamps = ["SELECT session_guard.revoke_sessions(id::text) FROM ab_user WHERE username = 'alice'"]

        def with_roles(username, password):
            psql(*stamps)
            stamps.clear()
            return type(users).auth_user_db(users, username, password)

        guard = application.extensions["session_guard"]
        login_user(guard._begun_before(users, with_roles)("alice", PASSWORD))
        assert current_user.is_authenticated and not stamps


def test_a_login_by_a_name_that_there_is_not_waits_for_the_guard_as_well(application, monkeypatch):
    guard, asked = application.extensions["session_guard"], []
    start = guard.start
    monkeypatch.setattr(guard, "start", lambda user_id: asked.append(user_id) or start(user_id))
    with application.test_request_context():
        for name in ("alice", "nobody"):
            assert application.appbuilder.sm.auth_user_db(name, "wrong") is None
    assert len(asked) == 2


def test_a_login_does_not_wait_for_its_own_uncommitted_update(application):
    with application.test_request_context():
        users = application.appbuilder.sm
        alice = users.find_user("alice")
        alice.login_count = (alice.login_count or 0) + 1
        users.session.flush()
        login_user(alice)
        # After the lock timeout it would have been refused.
        assert current_user.is_authenticated


# Ordinary days.


def test_an_ordinary_session_stays_logged_in(server):
    cookie = logged_in(server)
    assert [page(server, cookie).status_code for _ in range(50)] == [200] * 50


def test_more_requests_at_once_than_the_pool_has_connections(server):
    cookie = logged_in(server)
    with ThreadPoolExecutor(40) as crowd:
        answers = [crowd.submit(page, server, cookie) for _ in range(120)]
    assert [answer.result().status_code for answer in answers] == [200] * 120


def test_logging_in_several_times_in_a_row_works(server):
    cookies = [logged_in(server) for _ in range(5)]
    for cookie in cookies:
        assert_served(server, cookie)
