"""How receivers are put into apps: each made in the test itself, without a server of its own."""

import asyncio
import re
from urllib.parse import urlencode

import pytest
from adapters import ADAPTERS
from flask import Flask, request
from flask_wtf import CSRFProtect
from pg_session_guard.flask import SessionGuard
from pg_session_guard.receivers import Receiver
from pg_session_guard.receivers import flask as flask_receivers
from pg_session_guard.receivers import starlette as starlette_receivers
from pg_session_guard.receivers.receiver import MAX_BODY
from pg_session_guard.receivers.statements import users_statement
from pg_session_guard.starlette import SessionGuard as StarletteGuard
from provider import AUDIENCE, KEYCLOAK, Provider, keycloak_logout
from python_helpers import PYTHON_PACKAGE, databases
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from test_flask_setup import User, db, new_app  # noqa: F401  (db is a fixture)
from test_receivers import QUERY, Posted, Sessions
from test_receivers_mounted import event
from test_sessions import without

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)
PATH = "/backchannel-logout"


@pytest.fixture
def receiver():
    with Provider().serving() as provider:
        yield Receiver(KEYCLOAK, audience=AUDIENCE, jwks_uri=provider.address, user_ids=QUERY)


@pytest.fixture
def app(adapter, db):  # noqa: F811
    app = new_app(db)
    SessionGuard(app, db, User)
    return app


def form():
    return {"logout_token": keycloak_logout()}


@pytest.mark.parametrize("later", [False, True])
def test_flask_wtf_asks_for_no_csrf_token_of_a_receiver_alone(adapter, app, receiver, later):
    sessions = Sessions(adapter)
    if not later:
        CSRFProtect(app)
    flask_receivers.receive_logouts(app, PATH, receiver)
    if later:
        CSRFProtect(app)
    app.post("/other")(lambda: {})
    client = app.test_client()
    assert client.post(PATH, data=form()).status_code == 200
    assert sessions.count() == {"bob"}
    assert client.post("/other", data=form()).status_code == 400


@pytest.mark.parametrize("read", [lambda: request.form, lambda: request.get_data(), lambda: request.get_json(True, True)])
def test_a_body_that_the_app_has_read_before_is_taken(adapter, app, receiver, read):
    sessions = Sessions(adapter)
    flask_receivers.receive_logouts(app, PATH, receiver)
    app.before_request(lambda: read() and None)
    long = app.test_client().post(PATH, data={"logout_token": "x" * MAX_BODY})
    assert (long.status_code, long.json["error_description"]) == (400, "the body is too long")
    assert app.test_client().post(PATH, data=form()).status_code == 200
    assert sessions.count() == {"bob"}


def test_an_event_that_the_app_has_read_before_is_taken(adapter, app, receiver):
    sessions = Sessions(adapter)
    flask_receivers.receive_events(app, PATH, receiver)
    app.before_request(lambda: request.get_data() and None)
    answer = app.test_client().post(PATH, data=event(), content_type="application/secevent+jwt")
    assert answer.status_code == 202
    assert sessions.count() == {"bob"}


@pytest.mark.parametrize("broken", ["the query", "the right to end sessions"])
def test_an_error_is_logged_without_who_it_is(adapter, app, receiver, caplog, broken):
    if broken == "the query":
        receiver.query = users_statement("SELECT nothing FROM users WHERE username = %(sub)s")
    flask_receivers.receive_logouts(app, PATH, receiver)
    with without(adapter, "revoke_tokens"):
        assert app.test_client().post(PATH, data=form()).status_code == 503
    assert "SQL parameters hidden" in caplog.text
    assert "alice-sub" not in caplog.text and KEYCLOAK not in caplog.text


def test_a_receiver_without_a_guard_is_an_error(adapter, receiver):
    with pytest.raises(RuntimeError, match="comes first"):
        flask_receivers.receive_logouts(Flask(__name__), PATH, receiver)


def test_a_receiver_comes_before_what_is_mounted_at_the_root(adapter, db, receiver):  # noqa: F811
    sessions = Sessions(adapter)
    app = Starlette(routes=[Mount("/", PlainTextResponse("all else"))])
    starlette_receivers.receive_logouts(app, PATH, receiver, StarletteGuard(db.get_bind()))
    assert post(app, PATH, urlencode(form()).encode()) == [200, b""]
    assert sessions.count() == {"bob"}
    assert post(app, "/anything", b"") == [200, b"all else"]


def post(app, path, body):
    answers = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        answers.append(message)

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": path, "root_path": "", "query_string": b"", "headers": headers}
    asyncio.run(app(scope, receive, send))
    return [answers[0]["status"], answers[1]["body"]]


def test_the_rights_of_the_readme_are_enough(adapter):
    """And grant_access alone is not."""
    role = "session_guard_python_receiver"
    databases.create_role(role)
    adapter.sql(f"GRANT SELECT, UPDATE ON users TO {role}")
    adapter.sql(f"SELECT session_guard.grant_access('{role}')")
    with Provider().serving() as provider:
        posted = Posted(adapter, provider, role=role)
        assert posted.logout(keycloak_logout()).status == 503
        section = (PYTHON_PACKAGE.parent / "README.md").read_text().split("\n## When an identity provider")[1]
        adapter.sql(re.search(r"```sql\n(.*?)```", section, re.S)[1].replace("TO app;", f"TO {role};"))
        sessions = Sessions(adapter)
        assert posted.logout(keycloak_logout()).status == 200
        assert sessions.count() == {"bob"}
