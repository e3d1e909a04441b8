"""The Flask-AppBuilder example, with what the tests look at besides."""

import os

import app as example
from counting import count_statements
from flask import current_app

if "UNGUARDED" in os.environ:
    example.SessionGuard = lambda app, appbuilder: None
if "FAIL_OPEN" in os.environ:
    guard = example.SessionGuard

    def failing_open(app, appbuilder):
        app.config["SESSION_GUARD_FAIL_OPEN"] = True
        guard(app, appbuilder)

    example.SessionGuard = failing_open

app = example.create_app()
count_statements(app)


@app.route("/open")
def public():
    return "open to all"


@app.route("/by-orm/<int:active>")
def by_orm(active):
    users = current_app.appbuilder.sm
    users.find_user("alice").active = bool(active)
    users.session.commit()
    return ""
