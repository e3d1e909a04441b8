"""Flask-AppBuilder, and what is built on it: cookies, bearer tokens and refresh tokens.

    SessionGuard(app, appbuilder)        after AppBuilder(app, db.session)

FAB's API keys are left alone: like a password, they are no session, and work again once the account
is enabled.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Flask, abort, g
from flask_jwt_extended import get_jwt

from pg_session_guard import flask
from pg_session_guard.core import login_time
from pg_session_guard.core.answers import Answer
from pg_session_guard.core.login_time import LOGIN_TIME_KEY


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
        # FAB itself sets neither of these loaders.
        manager.jwt_manager.additional_claims_loader(self._claims)
        manager.jwt_manager.token_in_blocklist_loader(self._is_revoked)

    def _claims(self, user_id: object) -> dict[str, str]:
        """What a token remembers. A login makes two, and they are as old as each other."""
        with suppress(RuntimeError):  # There is no token in a login's request.
            token = get_jwt()
            if token.get("type") == "refresh":
                # What it is changed for is as old as that: it could be revoked now.
                kept = login_time.of_token(token)
                return {LOGIN_TIME_KEY: login_time.to_text(kept or login_time.LONG_AGO)}
        started = self._start_once(user_id)
        if started is None:
            abort(400, "Not authorized")  # FAB's API makes a 500 of any other.
        return {LOGIN_TIME_KEY: started}

    def _start_once(self, user_id: object) -> str | None:
        started: dict[str, str | None] = g.setdefault("session_guard_started", {})
        if str(user_id) not in started:
            started[str(user_id)] = self.start(user_id)
        return started[str(user_id)]

    def _is_revoked(self, _header: Any, token: dict[str, Any]) -> bool:
        """Asked before FAB reads the token's user, which then makes no query."""
        kept = login_time.of_token(token)
        text = login_time.to_text(kept) if kept else None
        served = self.check(str(token["sub"]), text)[1] is Answer.SERVE
        if not served:
            g.session_guard_ended = "bearer"
        return not served
