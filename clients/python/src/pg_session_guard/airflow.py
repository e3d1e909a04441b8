"""Airflow 3, with its FAB auth manager:

    [core]
    auth_manager = pg_session_guard.airflow.GuardedFabAuthManager

Only the API server runs it. Tokens of tasks are no users', and are left alone.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from airflow import settings as airflow_settings
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.models import User
from fastapi import HTTPException
from flask import has_request_context, session
from sqlalchemy.exc import SQLAlchemyError

from pg_session_guard import sqlalchemy as database
from pg_session_guard.core import login_time
from pg_session_guard.core.answers import NO_STORE
from pg_session_guard.core.errors import cannot_ask, is_of_a_lock
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.core.settings import Settings
from pg_session_guard.fab import SessionGuard, log_in

log = logging.getLogger("pg_session_guard")
BEGUN = "session_guard_login_at"
# The user and the login time of the token that this request has. Not kept with the user, whom
# Airflow remembers for other requests.
_token: ContextVar[tuple[str, str] | None] = ContextVar("pg_session_guard_token", default=None)


class GuardedFabAuthManager(FabAuthManager):  # type: ignore[misc]
    session_guard: SessionGuard | None = None

    def get_fastapi_app(self) -> Any:
        """FAB's pages, whose sessions make the tokens of the UI, are a Flask app inside of this."""
        app = super().get_fastapi_app()
        self.session_guard = SessionGuard(self.flask_app)
        return app

    @property
    def guard_settings(self) -> Settings:
        """Of webserver_config.py, which only the Flask app reads."""
        guard = self.session_guard
        return guard.settings if guard else database.for_class(Settings(), User)

    def create_token(self, headers: dict[str, str], body: dict[str, Any]) -> Any:
        """A login by the API. It begins before its password is checked, or one that is changed in
        between would go unseen."""
        user, begun_by, begun = log_in(
            self.security_manager,
            body.get("username"),
            lambda: super(GuardedFabAuthManager, self).create_token(headers, body),
            self._start,
            lambda user_id, begun: self._is_valid({"sub": user_id, LOGIN_TIME_KEY: begun}),
        )
        if user is None or str(user.id) != begun_by:
            return user  # Whoever has no name here yet begins where the token is made.
        if begun is None:
            return None
        setattr(user, BEGUN, begun)
        return user

    def serialize_user(self, user: Any) -> dict[str, Any]:
        login_at = self._begun_or_made_of(user) or self._start(user.id)
        if login_at is None:
            raise HTTPException(401, "Invalid credentials")
        return {**super().serialize_user(user), LOGIN_TIME_KEY: login_at}

    def _begun_or_made_of(self, user: Any) -> str | None:
        """A token that is made of the browser's session or of another token is as old as that. What
        has no time, from before the guard, must not get a late one."""
        if has_request_context():
            return session.get(LOGIN_TIME_KEY) or login_time.to_text(login_time.LONG_AGO)
        begun: str | None = user.__dict__.pop(BEGUN, None)
        made_of = _token.get()
        if begun is None and made_of and made_of[0] == str(user.id):
            return made_of[1]
        return begun

    def deserialize_user(self, token: dict[str, Any]) -> Any:
        # Asked first, and each time: what comes next remembers a user for half a minute.
        if not self._is_valid(token):
            raise ValueError("the session has ended")  # Of which Airflow makes its own refusal.
        kept = login_time.of_token(token) or login_time.LONG_AGO
        _token.set((str(token["sub"]), login_time.to_text(kept)))
        return super().deserialize_user(token)

    def _start(self, user_id: object) -> str | None:
        try:
            with airflow_settings.get_engine().begin() as connection:
                return database.start(connection, user_id, self.guard_settings)
        except SQLAlchemyError as error:
            self._cannot_ask(error)
            if is_of_a_lock(error):
                raise HTTPException(503, "Try again later", NO_STORE) from error
            return login_time.to_text(login_time.now())

    def _is_valid(self, token: dict[str, Any]) -> bool:
        login_at = login_time.of_token(token)
        try:
            with airflow_settings.get_engine().begin() as connection:
                return database.is_valid(connection, token["sub"], login_at, self.guard_settings)
        except SQLAlchemyError as error:
            self._cannot_ask(error)
            return True

    def _cannot_ask(self, error: Exception) -> None:
        log.error(cannot_ask(error), exc_info=error)
        if not self.guard_settings.fail_open:
            raise HTTPException(503, "Try again later", NO_STORE) from error
