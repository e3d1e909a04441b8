"""Connects Airflow 3 with its FAB auth manager to pg_session_guard: an auth manager that also asks
whether the session or the token still counts. Put this file where Python finds it, and set

    [core]
    auth_manager = session_guard.GuardedFabAuthManager

then, as the owner of the metadata database: CREATE EXTENSION pg_session_guard. If Airflow connects as
another role than the owner of its tables: SELECT session_guard.grant_access('that role'). Until the
extension is there, nobody can log in. A login waits for a change of its account that is not committed
yet. So that none waits for ever: ALTER ROLE airflow SET lock_timeout = '2s'.

Only the API server runs it. Tokens of tasks are no users' and are left alone.
"""

from datetime import datetime, timezone

from airflow import settings
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from fastapi import HTTPException
from flask import abort, has_request_context, session
from flask_login import logout_user, user_logged_in
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

# The casts choose the overload, whatever type a driver gives to a bound string.
START = text("SELECT session_start(CAST(:user_id AS text))")
VALID = text("SELECT session_valid(CAST(:user_id AS text), CAST(:login_at AS timestamptz))")


def start(user_id):
    """The login time to remember, or None for an account that must not log in."""
    with settings.get_engine().begin() as connection:  # A transaction of its own: it locks the user's row.
        login_at = connection.scalar(START, {"user_id": str(user_id)})
    return login_at and login_at.isoformat()


def is_valid(user_id, login_at):
    with settings.get_engine().begin() as connection:
        return connection.scalar(VALID, {"user_id": str(user_id), "login_at": login_at})


class GuardedFabAuthManager(FabAuthManager):
    def serialize_user(self, user):
        # The token that the UI gets is as old as the browser's session, of which it is made.
        if has_request_context():
            login_at = session.get("login_at")
        else:
            login_at = start(user.id)
            if login_at is None:
                raise HTTPException(401, "Invalid credentials")
        return {**super().serialize_user(user), "login_at": login_at}

    def deserialize_user(self, token):
        # Asked first, and each time: what comes next remembers a user for half a minute. `iat` is
        # for tokens from before this code, and of sessions from before it.
        issued = datetime.fromtimestamp(token["iat"], timezone.utc).isoformat()
        if not is_valid(token["sub"], token.get("login_at") or issued):
            raise ValueError("the session has ended")
        return super().deserialize_user(token)

    def get_fastapi_app(self):
        app = super().get_fastapi_app()
        guard_browsers(self.flask_app)
        return app


def guard_browsers(app):
    """The session of FAB's pages, which makes new tokens for the UI."""

    @user_logged_in.connect_via(app)
    def at_login(_app, user):
        login_at = None
        try:
            login_at = start(user.get_id())
        finally:  # Also after an error: by now, flask_login has put the user into the session.
            session["login_at"] = login_at
            if login_at is None:
                session.clear()
                logout_user()

    @app.login_manager.user_loader
    def load_user(user_id):
        try:
            valid = is_valid(user_id, session.get("login_at"))
        except SQLAlchemyError:
            app.logger.exception("cannot ask pg_session_guard")
            abort(503)
        if valid:
            return app.appbuilder.sm.load_user(user_id)
        session.clear()
