"""Connects a Flask-AppBuilder app, or one built on it, to pg_session_guard.

An account that is disabled, by whatever path, loses its sessions and its tokens at their next
request, and they stay ended when it is enabled again. Call `protect` once, after
`appbuilder.init_app`.

FAB's API keys are left alone: like a password, they are no session, and work again once the
account is enabled.
"""

from contextlib import contextmanager, suppress
from datetime import datetime, timezone

from flask import abort, flash, session
from flask_jwt_extended import get_jwt
from flask_login import current_user, logout_user, user_logged_in
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

# The casts choose the overload, whatever type a driver gives to a bound string. As text, an id
# may be an integer or a UUID.
START = text("SELECT session_start(CAST(:user_id AS text))")
VALID = text("SELECT session_valid(CAST(:user_id AS text), CAST(:login_at AS timestamptz))")


def protect(app, appbuilder):
    db = appbuilder.session
    jwt = appbuilder.sm.jwt_manager

    @contextmanager
    def failing_closed():
        """If the database cannot answer, all sessions are refused. The cookie survives for when it can."""
        try:
            yield
        except SQLAlchemyError:
            app.logger.exception("cannot ask pg_session_guard")
            db.rollback()
            abort(503)

    def start(user_id):
        """The login time to remember, or None for an account that must not log in."""
        with failing_closed():
            # session_start locks the user's row, in a transaction of its own that ends at once.
            # FAB has committed its own UPDATE of that row (last_login) by now. A hook of the app's
            # may have left another, which session_start would wait for, and so this request for
            # itself. The commit also hands the connection back: a login needs but one at a time.
            db.commit()
            with db.get_bind().begin() as connection:
                login_at = connection.scalar(START, {"user_id": str(user_id)})
        return login_at and login_at.isoformat(timespec="microseconds")

    def is_valid(user_id, login_at):
        with failing_closed():
            return db.scalar(VALID, {"user_id": str(user_id), "login_at": login_at})

    # --- Cookies ---

    # With revoke_on => '{password}', a password that changes between FAB's check of it and this
    # signal goes unseen: there, call session_start before the check.
    @user_logged_in.connect_via(app)
    def at_login(_app, user):
        login_at = None
        try:
            login_at = start(user.get_id())
        finally:  # Also after an error: by now, flask_login has put the user into the session.
            session["login_at"] = login_at
            if login_at is None:
                log_out()

    def before_request():
        # current_user comes first: it makes a session of a remember-me cookie. It is nobody while
        # the account is disabled: FAB sees to that. A user whom a request_loader knows by other
        # means has no session.
        known = current_user.is_authenticated
        if "_user_id" in session:
            # A session older than this code has no login time; it ends with the user's first stamp.
            if not known or not is_valid(session["_user_id"], session.get("login_at")):
                log_out()
                # The login page shows it. An API's answer is the same as without it.
                flash("Your session has ended. Please log in again.", "warning")

    def log_out():
        session.clear()
        logout_user()  # Comes last: it leaves a note in the session to delete a remember-me cookie.

    # Ahead of the hooks that are there already, so that they too see nobody logged in.
    app.before_request_funcs.setdefault(None, []).insert(0, before_request)

    # --- Bearer tokens (FAB itself sets neither of these loaders) ---

    def token_login_at(token):
        # An epoch is rounded up, so the `iat` of a token made right after its account was enabled
        # again can lie before it; what session_start returned does not. `iat` serves for the tokens
        # from before this code alone.
        return token.get("login_at") or datetime.fromtimestamp(token["iat"], timezone.utc).isoformat()

    @jwt.additional_claims_loader
    def claims(user_id):
        with suppress(RuntimeError):  # There is no token in a login's request.
            token = get_jwt()
            if token.get("type") == "refresh":
                # What a refresh token is changed for is as old as that: it could be revoked now.
                return {"login_at": token_login_at(token)}
        login_at = start(user_id)
        if login_at is None:
            abort(400, "Not authorized")  # FAB's API makes a 500 of any other.
        return {"login_at": login_at}

    @jwt.token_in_blocklist_loader
    def is_revoked(_header, token):
        return not is_valid(token["sub"], token_login_at(token))
