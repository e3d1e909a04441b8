"""Flask-AppBuilder, and what is built on it: cookies, bearer tokens and refresh tokens.

    SessionGuard(app, appbuilder)        after AppBuilder(app, db.session)

FAB's API keys are left alone: like a password, they are no session, and work again once the account
is enabled.
"""

from __future__ import annotations

from typing import Any

from flask import Flask

from pg_session_guard import flask
from pg_session_guard.jwt.flask_jwt_extended import protect_tokens


class SessionGuard(flask.SessionGuard):
    def __init__(self, app: Flask | None = None, appbuilder: Any = None) -> None:
        super().__init__()
        if app is not None:
            self.init_app(app, appbuilder)

    def init_app(self, app: Flask, appbuilder: Any = None, _user_class: Any = None) -> None:
        appbuilder = appbuilder or app.appbuilder  # type: ignore[attr-defined]
        manager = appbuilder.sm
        super().init_app(app, appbuilder.session, manager.user_model)
        self.user_loader(manager.load_user)
        # FAB itself sets neither of the loaders that this sets. Airflow's does not keep its own.
        tokens = manager.jwt_manager or app.extensions["flask-jwt-extended"]
        protect_tokens(tokens, self)
