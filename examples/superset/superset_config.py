"""Connects Superset to pg_session_guard: what to add to your superset_config.py.

An account that is disabled, by whatever path, loses its sessions and its tokens at their next
request, and they stay ended when it is enabled again. The metadata database must be PostgreSQL.
As its owner, with the address of SQLALCHEMY_DATABASE_URI, but without `+psycopg2`:

    superset db upgrade && superset init
    psql "postgresql://OWNER@HOST/DATABASE" -c 'CREATE EXTENSION pg_session_guard'

If Superset connects as another role than the owner of its tables:
SELECT session_guard.grant_access('that role').

Until the extension is there, nobody can log in. A login waits for a change of its account that is
not committed yet. So that none waits for ever: ALTER ROLE superset SET lock_timeout = '2s'.

To end the sessions of an embedded dashboard's guests:
SELECT session_guard.revoke_tokens('embedded_dashboard', 'the id that their tokens name'),
and without an id those of all dashboards. FAB's API keys are left alone: like a password, they are
no session.
"""

from contextlib import suppress
from datetime import datetime, timezone

from flask import abort, g, session
from flask_jwt_extended import get_jwt
from flask_login import logout_user, user_logged_in
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

# If the guard cannot answer, all requests with a session are refused (503; cookies survive). True: it is passed over.
SESSION_GUARD_FAIL_OPEN = False


def FLASK_APP_MUTATOR(app):
    """Superset calls it once its security manager is there: in web servers, workers and commands."""
    from superset.extensions import db

    sm = app.appbuilder.sm
    # The casts choose the overload, whatever type a driver gives to a bound string.
    start = text("SELECT session_start(CAST(:user_id AS text))")
    valid = text("SELECT session_valid(CAST(:user_id AS text), CAST(:login_at AS timestamptz))")
    guest_valid = text(
        "SELECT bool_and(token_valid('embedded_dashboard', id, to_timestamp(:issued_at)))"
        " FROM unnest(CAST(:ids AS text[])) AS id"
    )

    def ends_transaction(end):
        """Unless it is a larger one, of Superset's own, that it belongs to."""
        if not g.get("in_transaction"):
            end()

    def guarded(ask, if_open):
        try:
            return ask()
        except SQLAlchemyError:
            app.logger.exception("cannot ask pg_session_guard")
            ends_transaction(db.session.rollback)
            return if_open if app.config["SESSION_GUARD_FAIL_OPEN"] else abort(503)

    def holds(question, **values):
        return guarded(lambda: db.session.scalar(question, values), True)

    def login_time(user_id):
        """The time to remember, or None for an account that must not log in."""

        def ask():
            # session_start locks the user's row, in a transaction of its own that ends at once. By
            # ending the request's first, a login needs but one connection of the pool at a time.
            ends_transaction(db.session.commit)
            with db.engine.begin() as connection:
                return connection.scalar(start, {"user_id": str(user_id)})

        login_at = guarded(ask, datetime.now(timezone.utc))
        return login_at and login_at.isoformat()

    # --- Cookies ---

    @user_logged_in.connect_via(app)
    def at_login(_app, user):
        if user.get_id() is None:  # An embedded page logs in nobody, in this way.
            return
        session["login_at"] = None
        try:
            session["login_at"] = login_time(user.get_id())
        finally:  # Also after an error: by now, flask_login has put the user into the session.
            if session["login_at"] is None:
                session.clear()
                logout_user()  # Comes last: its note in the session deletes a remember-me cookie.

    @sm.lm.user_loader
    def load_user(user_id):
        # A session older than this code has no login time; it ends with the user's first stamp.
        if holds(valid, user_id=str(user_id), login_at=session.get("login_at")):
            return sm.load_user(user_id)
        session.clear()

    # --- Bearer tokens ---

    def token_login_at(token):
        # An epoch is rounded up, so the `iat` of a token made right after its account was enabled
        # again can lie before it; what session_start returned does not. `iat` serves for the tokens
        # from before this code alone.
        return token.get("login_at") or datetime.fromtimestamp(token["iat"], timezone.utc).isoformat()

    @sm.jwt_manager.additional_claims_loader
    def claims(user_id):
        with suppress(RuntimeError):  # There is no token in a login's request.
            token = get_jwt()
            if token.get("type") == "refresh":  # What it is changed for is as old as that.
                return {"login_at": token_login_at(token)}
        return {"login_at": login_time(user_id) or abort(400, "Not authorized")}

    @sm.jwt_manager.token_in_blocklist_loader
    def is_revoked(_header, token):
        return not holds(valid, user_id=token["sub"], login_at=token_login_at(token))

    # --- Guests of embedded dashboards ---

    @sm.lm.request_loader
    def load_guest(request):
        user = sm.request_loader(request)
        if user and sm.is_guest_user(user):
            token = user.guest_token
            ids = [str(thing["id"]) for thing in token["resources"] if thing["type"] == "dashboard"]
            if not holds(guest_valid, ids=ids or [None], issued_at=token.get("iat")):
                return None
        return user
