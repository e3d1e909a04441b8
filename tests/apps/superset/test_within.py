"""What no answer of a server shows, by requests to Superset in a process of the test's own: which of them touch the
database, and what becomes of a request loader that raises."""

import json

import pytest
from client import Browser
from conftest import run

# As the release after 6.1 does, each request asks who is logged in.
BEGIN = """
import json, sys
from flask_login import current_user
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import Pool
from superset.app import create_app

app = create_app()
asks = []

@app.before_request
def ask():
    asks.append(current_user.is_authenticated)

checkouts = []
event.listen(Pool, "checkout", lambda *_: checkouts.append(1))
client = app.test_client()
manager = app.appbuilder.sm
told = lambda *what: print("told", json.dumps(what))
"""


def within(script, **settings):
    """What the script told, and all that was written."""
    written = run("python", "-c", BEGIN + script, **settings)
    told = [json.loads(line[len("told ") :]) for line in written.splitlines() if line.startswith("told ")]
    return told, written


def test_a_probe_with_a_session_touches_no_database(guarded):
    told, _ = within(f"""
client.set_cookie("session", {Browser(guarded, "admin").cookie!r})
for path in ("/health", "/healthcheck", "/ping", "/health?a=b", "/api/v1/me/"):
    del checkouts[:]
    told(path, client.get(path).status_code, len(checkouts) > 0, asks.pop())
""")
    probes = [[path, 200, False, False] for path in ("/health", "/healthcheck", "/ping", "/health?a=b")]
    # The session outlives the probes.
    assert told == [*probes, ["/api/v1/me/", 200, True, True]]


RAISING = """
for error in (ValueError("of a loader"), OperationalError("SELECT", {}, Exception("of the database"))):
    def loader(request):
        raise error

    manager.request_loader = loader
    told(client.get("/api/v1/me/").status_code, client.get("/health").status_code)
"""


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [({}, [[401, 200], [503, 200]]), ({"FAIL_OPEN": "1"}, [[401, 200], [401, 200]])],
    ids=["closed", "open"],
)
def test_a_request_loader_that_raises_is_logged_and_logs_in_nobody(database, settings, statuses):
    told, written = within(RAISING, **settings)
    assert told == statuses
    # Each once: not for the probes.
    assert written.count("cannot load the user of a request") == written.count("ValueError: of a loader") == 1
    assert written.count("cannot ask pg_session_guard") == 1
