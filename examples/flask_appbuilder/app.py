"""A small Flask-AppBuilder app that is protected by pg_session_guard.

    pip install -r requirements.txt 'pg-session-guard[fab]'
    export DATABASE_URL=postgresql://fab@localhost/fab SECRET_KEY=…
    flask fab create-admin
    psql "$DATABASE_URL" -c 'CREATE EXTENSION pg_session_guard'
    flask run

The first start creates FAB's tables, the extension then finds `ab_user` by itself. Log in at
/private/page/, disable the account in psql, click on the page's link. Until the extension is there,
nobody can log in. If the app connects as another role than the owner of its tables:
SELECT session_guard.grant_access('that role').

A login waits for a change of its account that is not committed yet. FAB's own UPDATE of the row does, too. So that
it does not wait for ever: ALTER DATABASE fab SET lock_timeout = '2s'.
"""

import os
import secrets

from flask import Flask
from flask_appbuilder import AppBuilder, BaseView, expose, has_access
from flask_appbuilder.models.sqla.base import SQLA
from pg_session_guard.fab import SessionGuard


class PrivateView(BaseView):
    route_base = "/private"
    default_view = "page"

    @expose("/page/")
    @has_access
    def page(self):
        return self.render_template("private.html")


def create_app():
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
        # A key of its own for each start logs everybody out, and serves one process only.
        SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
        FAB_ADD_SECURITY_API=True,
    )
    db = SQLA(app)
    with app.app_context():
        appbuilder = AppBuilder(app, db.session)
        appbuilder.add_view(PrivateView, "Private page")
        SessionGuard(app, appbuilder)
    return app
