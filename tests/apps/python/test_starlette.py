"""What only Starlette and FastAPI have: a middleware, a dependency that asks by itself, tokens of PyJWT, four drivers."""

import jwt
import psycopg
import pytest
import requests
from adapters import ADAPTERS, HTML, IMPATIENT, LONGEST, WITH_MIDDLEWARE
from test_sessions import without

every_driver = pytest.mark.parametrize(
    "adapter", [*ADAPTERS[3:], *WITH_MIDDLEWARE], ids=lambda each: each.name, indirect=True
)
with_middleware = pytest.mark.parametrize("adapter", WITH_MIDDLEWARE, ids=lambda each: each.name, indirect=True)


@with_middleware
def test_the_middleware_ends_a_session_with_its_account(adapter, server):
    alice, asleep = server.logged_in(), server.logged_in()
    assert server.is_served(alice)
    adapter.set_active(False)
    answer = server.get("/private", alice, **HTML)
    assert server.leads_to_login(answer)
    adapter.set_active(True)
    for cookies in (alice, asleep):
        assert server.leads_to_login(server.get("/private", cookies, **HTML))
        assert server.get("/api/me", cookies).status_code == 401
    assert server.is_served(server.logged_in())


@with_middleware
def test_the_middleware_answers_503_in_the_route_s_kind_and_leaves_open_paths_alone(adapter, server):
    alice = server.logged_in()
    with without(adapter, "session_valid"):
        page, api = server.get("/private", alice, **HTML), server.get("/api/me", alice)
        assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (503, "text/plain")
        assert (api.status_code, api.headers["Content-Type"]) == (503, "application/json")
        assert server.get("/open", alice).status_code == 200
        assert server.get("/static/form.html", alice).status_code == 200
    assert server.is_served(alice)


@with_middleware
def test_a_login_waits_for_a_lock_no_longer_than_its_timeout(adapter, tmp_path):
    with adapter.serve(tmp_path / "log", **IMPATIENT) as server, psycopg.connect(dbname=adapter.database) as disabling:
        disabling.execute("UPDATE users SET active = false WHERE username = 'alice'")
        assert server.log_in()[0].status_code == 503
        disabling.rollback()


@every_driver
def test_a_dependency_asks_by_itself(adapter, server):
    alice = server.logged_in()
    assert server.get("/required", alice).status_code == 200
    adapter.set_active(False)
    answer = server.get("/required", alice)
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, True)
    assert server.leads_to_login(server.get("/required", alice, **HTML))


@every_driver
def test_a_token_ends_with_its_account_and_one_after_it_counts_at_once(adapter, server):
    def token():
        return requests.post(f"{server.address}/token", json={"id": number}, timeout=LONGEST)

    def ask(token):
        return server.get("/by-token", Authorization=f"Bearer {token}")

    number = adapter.sql("SELECT id FROM users WHERE username = 'alice'")
    old = token().json()["token"]
    assert ask(old).json() == {"id": str(number)}
    adapter.set_active(False)
    assert token().status_code == 401
    adapter.set_active(True)
    answer = ask(old)
    assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    assert ask(token().json()["token"]).status_code == 200
    # Of the right key, but from before the package; and of no key of ours.
    iat = jwt.encode({"sub": str(number), "iat": 1}, adapter.environment["SECRET_KEY"], "HS256")
    assert [ask(each).status_code for each in (iat, "junk", "")] == [401, 401, 401]
    with without(adapter, "session_valid"):
        assert ask(token().json()["token"]).status_code == 503
