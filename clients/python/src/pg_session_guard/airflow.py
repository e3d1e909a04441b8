"""Airflow 3, with its FAB auth manager:

    [core]
    auth_manager = pg_session_guard.airflow.GuardedFabAuthManager

Only the API server runs it. Tokens of tasks are no users', and are left alone.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow import settings as airflow_settings
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.models import User
from fastapi import HTTPException
from flask import has_request_context, session
from sqlalchemy.exc import SQLAlchemyError

from pg_session_guard import sqlalchemy as database
from pg_session_guard.core import login_time
from pg_session_guard.core.errors import cannot_ask
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.core.settings import Settings
from pg_session_guard.fab import SessionGuard

log = logging.getLogger("pg_session_guard")


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

    def serialize_user(self, user: Any) -> dict[str, Any]:
        # The token that the UI gets is as old as the browser's session, of which it is made.
        if has_request_context():
            login_at = session.get(LOGIN_TIME_KEY)
        else:
            login_at = self._start(user.id)
            if login_at is None:
                raise HTTPException(401, "Invalid credentials")
        return {**super().serialize_user(user), LOGIN_TIME_KEY: login_at}

    def deserialize_user(self, token: dict[str, Any]) -> Any:
        # Asked first, and each time: what comes next remembers a user for half a minute.
        if not self._is_valid(token):
            raise ValueError("the session has ended")  # Of which Airflow makes its own refusal.
        return super().deserialize_user(token)

    def _start(self, user_id: object) -> str | None:
        try:
            with airflow_settings.get_engine().begin() as connection:
                return database.start(connection, user_id, self.guard_settings)
        except SQLAlchemyError as error:
            self._cannot_ask(error)
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
            raise HTTPException(503, "Try again later") from error
