"""Flask-AppBuilder, and what is built on it: cookies, bearer tokens and refresh tokens.

    SessionGuard(app, appbuilder)        after AppBuilder(app, db.session)

FAB's API keys are left alone: like a password, they are no session, and work again once the account
is enabled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from flask import Flask, has_request_context
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
            check_password = partial(authenticate, username, *given, **named)
            user, begun_by, begun = log_in(
                manager, username, check_password, self.start, self._counts
            )
            if begun_by is not None:
                self.continue_login(begun_by, begun)
            return user

        return authenticated

    def _counts(self, user_id: str, begun: str) -> bool:
        return self.check(user_id, begun)[1] is Answer.SERVE


def log_in(
    manager: Any,
    username: Any,
    check_password: Callable[[], Any],
    start: Callable[[str], str | None],
    counts: Callable[[str, str], bool],
) -> tuple[Any, str | None, str | None]:
    """Who has logged in, and whose login has begun before the hash was read, and when. Twice at
    most: a login may itself write what ends sessions, such as roles from LDAP."""
    for _ in range(2):
        begun_by, begun = _begin(manager, username, start)
        user = check_password()
        if user is None or begun_by is None or str(user.id) != begun_by:
            break
        if begun is None or counts(begun_by, begun):
            break
    return user, begun_by, begun


def _begin(
    manager: Any, username: Any, start: Callable[[str], str | None]
) -> tuple[str | None, str | None]:
    user = find_user(manager, username) if username else None
    if user is not None:
        user_id = str(user.id)
        begun = start(user_id)
        read_anew(user)
        return user_id, begun
    # Takes as long as for a name that there is. FAB does the same with its own UPDATE.
    first = manager.get_first_user() if hasattr(manager, "get_first_user") else None
    if first is not None:
        start(str(first.id))
    return None, None


def find_user(manager: Any, username: str) -> Any:
    """As FAB does."""
    return manager.find_user(username=username) or manager.find_user(email=username)


def read_anew(user: Any) -> None:
    """By who looks for the user next. A query would leave the hash as it was read before."""
    session = object_session(user)
    if session is not None:
        session.expire(user)
