"""Bearer and refresh tokens of flask-jwt-extended and djangorestframework-simplejwt. Those of Flask-AppBuilder are tested in
tests/apps/flask_appbuilder, those of PyJWT in test_starlette.py."""

import pytest
import requests
from adapters import ADAPTERS, LONGEST
from python_helpers import PASSWORD
from test_sessions import without

pytestmark = pytest.mark.parametrize("adapter", [ADAPTERS[0], ADAPTERS[2]], ids=["flask", "django"], indirect=True)


def post(server, path, **body):
    return requests.post(server.address + path, json=body, timeout=LONGEST)


def log_in(server):
    return post(server, "/token", username="alice", password=PASSWORD)


def ask(server, token):
    return server.get("/by-token", Authorization=f"Bearer {token}")


def statuses(server, tokens):
    access, refreshed = ask(server, tokens["access"]), post(server, "/token/refresh", refresh=tokens["refresh"])
    return access.status_code, refreshed.status_code


def test_tokens_end_with_their_account_and_stay_dead(adapter, server):
    old = log_in(server).json()
    assert statuses(server, old) == (200, 200)
    derived = post(server, "/token/refresh", refresh=old["refresh"]).json()["access"]
    assert ask(server, derived).json() == {"name": "alice"}
    adapter.set_active(False)
    assert log_in(server).status_code in (400, 401)
    assert statuses(server, old) == (401, 401)
    adapter.set_active(True)
    assert statuses(server, old) == (401, 401)
    refused = ask(server, derived)
    assert refused.status_code == 401
    # No cache that others share keeps what a token gets, so simplejwt's own answers are left as they are.
    assert refused.headers.get("Cache-Control") == ("no-store" if adapter.name == "flask" else None)
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    # At once: here a token's own time, cut to whole seconds, would be too early.
    assert statuses(server, log_in(server).json()) == (200, 200)


def test_an_error_in_the_check_is_a_503_and_ends_no_token(adapter, server):
    tokens = log_in(server).json()
    with without(adapter, "session_valid"):
        assert statuses(server, tokens) == (503, 503)
    assert statuses(server, tokens) == (200, 200)


def test_a_503_logs_what_is_missing(adapter, tmp_path):
    with adapter.serve(tmp_path / "log") as server:
        tokens = log_in(server).json()
        with without(adapter, "session_valid"):
            assert statuses(server, tokens) == (503, 503)
    told = "cannot ask pg_session_guard: let the owner of the extension run"
    assert (tmp_path / "log").read_text().count(told) == 2


def test_fail_open_passes_the_guard_over(adapter, tmp_path):
    """Also in a request that is one transaction, which an error would end."""
    with adapter.serve(tmp_path / "log", FAIL_OPEN="1") as server:
        tokens = log_in(server).json()
        with without(adapter, "session_valid"):
            assert ask(server, tokens["access"]).json() == {"name": "alice"}
            assert statuses(server, tokens) == (200, 200)
            adapter.set_active(False)
        assert statuses(server, tokens) == (401, 401)
        adapter.set_active(True)
        assert statuses(server, tokens) == (401, 401)


def test_a_token_s_request_reads_its_user_once(adapter, server):
    tokens = log_in(server).json()
    assert server.statements("/by-token", {}, Authorization=f"Bearer {tokens['access']}") == 1
