"""Flask-AppBuilder, and what is built on it: cookies, bearer tokens and refresh tokens.

    SessionGuard(app, appbuilder)        after AppBuilder(app, db.session)

FAB's API keys are left alone: like a password, they are no session, and work again once the account
is enabled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, g, has_request_context
from sqlalchemy.orm import object_session

from pg_session_guard import flask
from pg_session_guard.core.answers import Answer
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
        for name in ("auth_user_db", "auth_user_ldap"):
            setattr(manager, name, self._begun_before(manager, getattr(manager, name)))
        # FAB itself sets neither of the loaders that this sets. Airflow's does not keep its own.
        tokens = manager.jwt_manager or app.extensions["flask-jwt-extended"]
        protect_tokens(tokens, self)

    def _begun_before(self, manager: Any, authenticate: Callable[..., Any]) -> Callable[..., Any]:
        """The login begins before its password is checked, or one that is changed in between, here
        or in LDAP, would go unseen."""

        @wraps(authenticate)
        def authenticated(username: Any, *given: Any, **named: Any) -> Any:
            # Airflow's API has no request here, and begins its logins by itself.
            if not username or not has_request_context():
                return authenticate(username, *given, **named)
            # Twice at most: a login may itself write what ends sessions, such as roles from LDAP.
            for _ in range(2):
                begun_by = self._begin_login_of(manager, username)
                user = authenticate(username, *given, **named)
                if user is None or str(user.id) != begun_by or self._still_counts(begun_by):
                    break
            return user

        return authenticated

    def _begin_login_of(self, manager: Any, username: str) -> str | None:
        user = find_user(manager, username)
        if user is not None:
            begun_by = str(user.id)
            self.begin_login(begun_by)
            read_anew(user)
            return begun_by
        # Takes as long as for a name that there is. FAB does the same with its own UPDATE.
        first = manager.get_first_user() if hasattr(manager, "get_first_user") else None
        if first is not None:
            self.start(first.id)
        return None

    def _still_counts(self, user_id: str) -> bool:
        _, begun = g.session_guard_begun
        return begun is None or self.check(user_id, begun)[1] is Answer.SERVE


def find_user(manager: Any, username: str) -> Any:
    """As FAB does."""
    return manager.find_user(username=username) or manager.find_user(email=username)


def read_anew(user: Any) -> None:
    """By who looks for the user next. A query would leave the hash as it was read before."""
    session = object_session(user)
    if session is not None:
        session.expire(user)
