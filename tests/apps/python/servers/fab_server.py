"""The Flask-AppBuilder example, with what the tests look at besides."""

import os
import sys
from importlib.util import find_spec

if not find_spec("flask_appbuilder.models.sqla.base"):
    # Flask-AppBuilder 4 has what is in it a module above.
    import flask_appbuilder.models.sqla

    sys.modules["flask_appbuilder.models.sqla.base"] = flask_appbuilder.models.sqla

import app as example
from counting import count_statements
from flask import current_app
from receiving import receiver_of

if "UNGUARDED" in os.environ:
    example.SessionGuard = lambda app, appbuilder: None
if "FAIL_OPEN" in os.environ:
    guard = example.SessionGuard

    def failing_open(app, appbuilder):
        app.config["SESSION_GUARD_FAIL_OPEN"] = True
        guard(app, appbuilder)

    example.SessionGuard = failing_open

app = example.create_app()
app.config["FAB_PASSWORD_HASH_METHOD"] = os.environ["QUICK_HASH"]
count_statements(app)
if "PAGES" in os.environ:
    from pg_session_guard.fab_pages import add_session_pages

    with app.app_context():
        add_session_pages(app.appbuilder)
if receiver := receiver_of("SELECT id FROM ab_user"):
    from pg_session_guard.receivers.flask import receive_events, receive_logouts

    receive_logouts(app, "/backchannel-logout", receiver)
    receive_events(app, "/security-events", receiver)


@app.route("/open")
def public():
    return "open to all"


@app.route("/by-orm/<int:active>")
def by_orm(active):
    users = current_app.appbuilder.sm
    users.find_user("alice").active = bool(active)
    # Flask-AppBuilder 4 calls it so.
    (users.session if hasattr(users, "session") else users.get_session).commit()
    return ""
