"""What the apps of Express, Fastify and axum do alike, over HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import psycopg
import pytest
from adapters import HTML, IMPATIENT, LONGEST, OWNER, SECRET_KEY, after, leads_to_login
from python_helpers import PASSWORD, databases
from python_helpers.databases import connect
from python_helpers.waiting import wait_until

ENDED = "Your session has ended. Please log in again."


def raw_sql(server, active):
    server.adapter.set_active(active)


def bulk(server, active):
    server.adapter.sql("UPDATE users SET active = %s WHERE username IN ('alice', 'nobody')", active)


def by_the_app(server, active):
    assert server.get(f"/by-orm/{int(active)}").status_code == 200


@pytest.mark.parametrize("set_active", [raw_sql, bulk, by_the_app])
def test_a_session_ends_with_its_account_and_stays_dead(server, set_active):
    alice, asleep, bob = server.logged_in(), server.logged_in(), server.logged_in("bob")
    assert server.is_served(alice) and server.is_served(bob, "bob")
    set_active(server, False)
    assert not server.is_served(alice)
    answer, cookies = server.log_in()
    assert answer.status_code == 401 and not server.is_served(cookies)
    set_active(server, True)
    # Also the one that did not ask while the account was disabled.
    assert not server.is_served(alice) and not server.is_served(asleep)
    assert server.is_served(server.logged_in()) and server.is_served(bob, "bob")
    assert not server.is_served(alice)


@pytest.fixture(scope="module")
def unguarded(adapter, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp("unguarded") / "log", UNGUARDED="1") as server:
        yield server


def test_without_the_guard_the_session_goes_on(adapter, unguarded):
    """The control: it is the guard that the test above sees at work."""
    alice = unguarded.logged_in()
    adapter.set_active(False)
    assert unguarded.is_served(alice)


def test_a_session_ends_when_the_account_is_deleted_and_made_again(adapter, server):
    adapter.sql("INSERT INTO users (username, password, active) VALUES ('carol', %s, true)", PASSWORD)
    number, carol = adapter.id_of("carol"), server.logged_in("carol")
    adapter.sql("DELETE FROM users WHERE username = 'carol'")
    assert not server.is_served(carol, "carol")
    adapter.sql("INSERT INTO users VALUES (%s, 'carol', %s, true)", number, PASSWORD)
    assert not server.is_served(carol, "carol")
    assert server.is_served(server.logged_in("carol"), "carol")
    adapter.sql("DELETE FROM users WHERE username = 'carol'")


def test_a_page_leads_to_the_login_with_a_message_and_an_api_says_401(server):
    page, api = server.logged_in(), server.logged_in()
    server.adapter.set_active(False)
    answer = server.get("/private?a=1", page, **HTML)
    assert (answer.status_code, answer.headers["Location"]) == (
        server.adapter.redirect,
        "/login?next=%2Fprivate%3Fa%3D1",
    )
    page = after(page, answer)
    form = server.get("/login", page, **HTML)
    assert form.text == f"{ENDED}<form>"
    assert server.get("/login", after(page, form), **HTML).text == "<form>"
    answer = server.get("/api/me", api, Accept="application/json")
    assert (answer.status_code, answer.json()["message"]) == (401, "The session has ended")
    assert answer.headers["WWW-Authenticate"] == 'Cookie realm="login", error="The session has ended"'
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_who_never_logged_in_is_not_told_of_a_session_that_ended(server):
    answer = server.get("/api/me")
    assert (answer.status_code, answer.json()["message"]) == (401, "Not logged in")
    assert answer.headers["WWW-Authenticate"] == 'Cookie realm="login"'
    assert leads_to_login(server.get("/private", **HTML))
    assert server.get("/login", **HTML).text == "<form>"


def test_a_page_that_is_open_to_all_stays_open_to_nobody(server):
    alice = server.logged_in()
    assert server.get("/public", alice, **HTML).text == "nobody: false"
    server.adapter.set_active(False)
    answer = server.get("/public", alice, **HTML)
    assert (answer.status_code, answer.text) == (200, "nobody: true")


def test_a_refused_browser_is_sent_a_cookie_of_nobody(server):
    alice = server.logged_in()
    server.adapter.set_active(False)
    sent = {**server.get("/private", alice, **HTML).cookies}
    assert sent and sent != alice
    server.adapter.set_active(True)
    assert server.get("/public", sent).text == "nobody: true"


def test_a_logout_ends_the_session_of_that_browser(server):
    alice = server.logged_in()
    assert not server.is_served(after(alice, server.get("/logout", alice)))


def test_a_login_takes_nothing_over_from_the_session_before(server):
    alice = server.logged_in()
    answer, cookies = server.log_in("bob", cookies=alice)
    assert answer.status_code == server.adapter.redirect and cookies != alice
    assert server.is_served(cookies, "bob")


# What it costs.


def test_a_request_runs_no_statement_more_than_without_the_guard(adapter, server, unguarded):
    def count(each):
        cookies = each.logged_in()
        return [each.statements(path, cookies) for path in ("/private", "/api/me", "/private")]

    assert count(unguarded) == [1, 1, 1]
    assert count(server) == [1 + adapter.more_statements] * 3


def test_static_files_and_open_pages_ask_nothing(server):
    alice = server.logged_in()
    assert server.statements(server.adapter.static, alice) == 0
    assert server.statements("/open", alice) == 0
    assert server.statements("/public", {}) == 0
    assert server.statements("/public", alice) == 1


# A new password.


@pytest.fixture
def password(adapter):
    yield
    adapter.sql("UPDATE users SET password = %s WHERE username = 'alice'", PASSWORD)


@pytest.mark.parametrize("way", [{}, {"plain": "1"}], ids=["at", "plain"])
def test_a_password_change_spares_the_session_that_asks_and_ends_the_others(server, password, way):
    this, other = server.logged_in(), server.logged_in()
    answer = server.ask("POST", "/password", this, {"new": "a new and better one", **way})
    assert (answer.status_code, answer.json()) == (200, True)
    kept = after(this, answer)
    assert server.is_served(kept)
    # A copy of the cookie that was there before is another session, too.
    assert not server.is_served(other) and not server.is_served(this)
    assert server.is_served(kept)
    assert server.log_in()[0].status_code == 401
    assert server.is_served(server.logged_in(password="a new and better one"))
    # What comes later ends it, and that at once.
    server.adapter.sql("UPDATE users SET password = 'none' WHERE username = 'alice'")
    assert not server.is_served(kept)


# By an administrator, after the user's own change is committed and before its session is kept.
MEANWHILE = [
    "UPDATE users SET password = 'reset' WHERE username = 'alice'",
    "SELECT session_guard.revoke_sessions(id)::text FROM users WHERE username = 'alice'",
]


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=["reset", "revoked"])
def test_a_session_that_somebody_else_ends_meanwhile_is_not_kept(server, password, meanwhile):
    this = server.logged_in()
    answer = server.ask("POST", "/password", this, {"new": "a new and better one", "meanwhile": meanwhile})
    assert (answer.status_code, answer.json()) == (200, False)
    assert not server.is_served(this) and not server.is_served(after(this, answer))


def test_a_new_password_by_sql_ends_all(server, password):
    alice = server.logged_in()
    server.adapter.sql("UPDATE users SET password = 'none' WHERE username = 'alice'")
    assert not server.is_served(alice)


# Errors.


def without(adapter, function):
    return databases.without_execute(adapter.database, function, OWNER)


def assert_unavailable(server, alice):
    page, api = server.get("/private", alice, **HTML), server.get("/api/me", alice)
    assert (page.status_code, api.status_code) == (503, 503)
    assert "cannot be checked now whether the session counts" in page.text
    assert "cannot be checked now whether the session counts" in api.json()["message"]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert api.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "alice" not in page.text + api.text
    assert page.headers["Cache-Control"] == api.headers["Cache-Control"] == "no-store"


def test_an_error_in_the_check_is_a_503_that_tells_the_log_what_mends_it(server):
    alice = server.logged_in()
    with without(server.adapter, "session_valid"):
        assert_unavailable(server, alice)
        assert "SELECT session_guard.grant_access(" in server.log()
        assert server.get("/open", alice).status_code == 200
        assert server.get("/public").status_code == 200
    # The check could not say that the session had ended.
    assert server.is_served(alice)


def test_an_error_at_the_login_gives_no_session(server):
    with without(server.adapter, "session_start"):
        answer, cookies = server.log_in()
        assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
        assert "permission denied" not in answer.text
    assert not server.is_served(cookies)


def test_fail_open_passes_the_guard_over(adapter, tmp_path):
    with adapter.serve(tmp_path / "log", FAIL_OPEN="1") as server:
        alice = server.logged_in()
        with without(adapter, "session_valid"):
            if ("MODE", "function") not in adapter.variables:
                assert server.is_served(alice)
            assert server.get("/public", alice).text == "nobody: false"
            with without(adapter, "session_start"):
                assert server.log_in()[0].status_code == adapter.redirect
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
                assert_unavailable(server, alice)
        finally:
            admin.execute(f"ALTER DATABASE {adapter.database} ALLOW_CONNECTIONS true")
    wait_until("the app is back", lambda: server.get("/private", alice, **HTML).status_code == 200)
    assert server.is_served(alice)


# Logins.


@pytest.fixture
def disabling(adapter):
    """A connection that has disabled alice and has not committed yet."""
    with psycopg.connect(dbname=adapter.database) as connection:
        connection.execute("UPDATE users SET active = false WHERE username = 'alice'")
        yield connection
        connection.rollback()


def test_a_login_that_meets_a_lock_waits_no_longer_than_its_own_timeout(adapter, disabling, tmp_path):
    with adapter.serve(tmp_path / "log", **IMPATIENT) as server:
        began = time.monotonic()
        answer, cookies = server.log_in()
        # The lock is still there.
        assert answer.status_code == 503
        assert time.monotonic() - began > 0.4
        disabling.rollback()
        assert not server.is_served(cookies) and server.is_served(server.logged_in())


def test_a_login_that_waited_for_a_disable_gives_no_session(server, disabling):
    with ThreadPoolExecutor() as background:
        login = background.submit(server.log_in)
        server.adapter.wait_until_somebody_waits_for_a_lock()
        disabling.commit()
        answer, cookies = login.result(LONGEST)
    assert answer.status_code == 401
    server.adapter.set_active(True)
    assert not server.is_served(cookies)


def test_a_login_that_waited_for_a_new_password_needs_the_new_one(server, password):
    with psycopg.connect(dbname=server.adapter.database) as changing, ThreadPoolExecutor() as background:
        changing.execute("UPDATE users SET password = 'another' WHERE username = 'alice'")
        login = background.submit(server.log_in)
        server.adapter.wait_until_somebody_waits_for_a_lock()
        changing.commit()
        answer, cookies = login.result(LONGEST)
    assert answer.status_code == 401
    assert not server.is_served(cookies)


def test_many_log_in_at_once(server):
    with ThreadPoolExecutor(12) as crowd:
        logins = [crowd.submit(server.logged_in, ("alice", "bob")[number % 2]) for number in range(12)]
    sessions = [login.result() for login in logins]
    assert all(server.is_served(cookies, ("alice", "bob")[number % 2]) for number, cookies in enumerate(sessions))


# Tokens.


def token(server):
    return server.ask("POST", "/token", json={"id": server.adapter.id_of()})


def ask(server, token):
    return server.get("/by-token", Authorization=f"Bearer {token}")


def refreshed(server, tokens):
    return server.ask("POST", "/token/refresh", json={"refresh": tokens["refresh"]})


def test_tokens_end_with_their_account_and_stay_dead(adapter, server):
    old = token(server).json()
    assert ask(server, old["access"]).json() == {"id": str(adapter.id_of())}
    derived = refreshed(server, old).json()["access"]
    assert ask(server, derived).status_code == 200
    adapter.set_active(False)
    assert token(server).status_code == 401
    adapter.set_active(True)
    assert refreshed(server, old).status_code == 401
    for each in (old["access"], derived):
        answer = ask(server, each)
        assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    # At once: here a token's own time, cut to whole seconds, would be too early.
    new = token(server).json()
    assert ask(server, new["access"]).status_code == 200
    assert ask(server, refreshed(server, new).json()["access"]).status_code == 200


def test_a_token_from_before_the_package_is_as_old_as_its_iat(adapter, server):
    number = str(adapter.sql("INSERT INTO users (username, active) VALUES ('dora', true) RETURNING id"))
    old = jwt.encode({"sub": number, "iat": int(time.time()) - 60}, SECRET_KEY, "HS256")
    assert ask(server, old).status_code == 200  # Nothing was stamped since.
    adapter.set_active(False, "dora")
    adapter.set_active(True, "dora")
    assert ask(server, old).status_code == 401
    later = jwt.encode({"sub": number, "iat": int(time.time()) + 5}, SECRET_KEY, "HS256")
    # jsonwebtoken takes an iat that lies ahead, and so does the guard, up to its tolerance.
    assert ask(server, later).status_code == 200
    adapter.sql("DELETE FROM users WHERE username = 'dora'")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": None},
        {"sub": ["1"]},
        {"sub": "1", "guard_login_at": "infinity"},
        # Of which the app's own query makes an error: not of the column's type, or too large for it.
        {"sub": "nobody"},
        {"sub": ""},
        {"sub": "9223372036854775808"},
        {"sub": 1.5},
        {"sub": "1\0"},
    ],
)
def test_a_token_of_nobody_is_refused(adapter, server, claims):
    adapter.set_active(False)  # Who is number 1, and enabled again.
    adapter.set_active(True)
    answer = ask(server, jwt.encode(claims, SECRET_KEY, "HS256"))
    assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")


def test_what_is_no_token_of_ours_is_refused(server):
    other = jwt.encode({"sub": str(server.adapter.id_of())}, "another secret, longer than 32 bytes", "HS256")
    assert [ask(server, each).status_code for each in (other, "junk", "", "a b")] == [401] * 4
    assert server.get("/by-token").headers["WWW-Authenticate"] == "Bearer"


def test_an_error_in_the_check_of_a_token_is_a_503_and_ends_no_token(server):
    tokens = token(server).json()
    with without(server.adapter, "session_valid"):
        answer = ask(server, tokens["access"])
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/json; charset=utf-8")
    assert ask(server, tokens["access"]).status_code == 200
