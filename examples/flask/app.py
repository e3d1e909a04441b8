"""A plain Flask app whose sessions live in the clients' cookies, and end when pg_session_guard says so.

    pip install -r requirements.txt
    createuser flask_app && createdb flask_example
    psql -d flask_example -1 -v ON_ERROR_STOP=1 -f schema.sql
    export DATABASE_URL=postgresql://flask_app@localhost/flask_example SECRET_KEY=…
    psql -d flask_example -c "INSERT INTO users (name, password) VALUES ('alice', '$(flask hash-password)')"
    flask run

    curl -c jar --json '{"name": "alice", "password": "…"}' http://localhost:5000/login
    curl -b jar http://localhost:5000/me
    curl -b jar -c jar --json '{"current": "…", "new": "…"}' http://localhost:5000/password   # ends the others
    curl -b jar --json '{}' http://localhost:5000/logout                                      # ends this one
    curl -b jar --json '{}' http://localhost:5000/sign-out-everywhere                         # ends all

Disable the account in psql, and the next request is refused; enable it, and it still is.
"""

import os
import secrets

import click
import psycopg
from flask import Flask, abort, request, session
from psycopg_pool import ConnectionPool
from werkzeug.exceptions import HTTPException
from werkzeug.security import check_password_hash, generate_password_hash

# A session's id is never used again, so its time is given as NULL, which predates every epoch: once revoked is revoked.
# Its login time would not do. session_start returns a time ahead of the clock just after a stamp, and a
# logout in that second would not reach it. Nor may all of the scope be revoked, since no session would
# ever count again: revoke_all_sessions ends all sessions.
VALID = "SELECT session_valid(%s::bigint, %s::timestamptz) AND token_valid('session', %s::text, NULL::timestamptz)"
START = "SELECT session_start(%s::bigint)"
END_THIS = "SELECT session_guard.revoke_tokens('session', %s::text, 'logout')"
END_ALL = "SELECT session_guard.revoke_sessions(%s::bigint, 'signed out everywhere')"

# Compared where there is no such user, so that the time taken does not tell who there is.
NOBODYS_PASSWORD = generate_password_hash(secrets.token_hex())


def create_app():
    app = Flask(__name__, static_folder=None)
    app.config.update(
        # A key of its own for each start logs everybody out, and serves one process only.
        SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
        # No other site's page sends the cookie along (Strict), and no script reads it. Browsers and curl
        # take http://localhost for secure.
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=True,
        MAX_CONTENT_LENGTH=16 * 1024,
    )
    # In autocommit each statement is a transaction of its own, as session_start should be. A login waits for a
    # change of its account that is not committed yet, but no longer than the timeout.
    pool = ConnectionPool(
        os.environ["DATABASE_URL"],
        kwargs={"autocommit": True, "connect_timeout": 5, "options": "-c statement_timeout=2s"},
        min_size=1,
        max_size=8,
        timeout=5,
        open=True,
    )

    def first_row(statement, *arguments):
        with pool.connection() as connection:
            return connection.execute(statement, arguments).fetchone()

    def password_hash(user_id):
        row = first_row("SELECT password FROM users WHERE id = %s", user_id)
        return row[0] if row else NOBODYS_PASSWORD

    def login_time(user_id, password):
        """From when on the session counts; None: no login."""
        # Before the hash is read: a password that changes in between ends what begins here.
        (login_at,) = first_row(START, user_id)
        matches = check_password_hash(password_hash(user_id), password)
        # As text: of a datetime, Flask's cookie keeps whole seconds.
        return login_at.isoformat() if matches and login_at else None

    @app.before_request
    def refuse_sessions_that_have_ended():
        """Comes before every page but the login, also before those that are yet to be written."""
        # A form of a page elsewhere, even of the same site (to which SameSite is no bar), cannot send JSON unasked.
        if request.method not in ("GET", "HEAD") and not request.is_json:
            abort(415)
        if request.endpoint == "login":
            return
        if "sid" not in session:
            abort(401)
        if first_row(VALID, session["user_id"], session["login_at"], session["sid"]) != (True,):
            session.clear()
            abort(401)

    @app.errorhandler(psycopg.Error)
    def fail_closed(error):
        """If the database cannot answer, all sessions are refused. The cookie survives for when it can."""
        app.logger.error("cannot ask pg_session_guard", exc_info=error)
        return {"error": "Service Unavailable"}, 503

    @app.errorhandler(HTTPException)
    def as_json(error):
        return {"error": error.name}, error.code

    @app.post("/login")
    def login():
        name, password = texts("name", "password")
        row = first_row("SELECT id FROM users WHERE name = %s", name)
        user_id = row[0] if row else None
        login_at = login_time(user_id, password)
        if login_at is None:
            abort(401)
        session.clear()
        session.update(user_id=user_id, login_at=login_at, sid=secrets.token_urlsafe())
        return {}

    @app.get("/me")
    def me():
        return {"user_id": session["user_id"]}

    @app.post("/logout")
    def logout():
        # To clear the cookie alone would leave a copy of it alive. An error keeps it, to try again.
        first_row(END_THIS, session["sid"])
        session.clear()
        return {}

    @app.post("/password")
    def change_password():
        current, new = texts("current", "new")
        old_hash = password_hash(session["user_id"])
        if not check_password_hash(old_hash, current):
            abort(403)
        change = "UPDATE users SET password = %s WHERE id = %s AND password = %s RETURNING true"
        if not first_row(change, generate_password_hash(new), session["user_id"], old_hash):
            abort(409)
        # The change is committed, and has ended all sessions of this user. This one goes on by logging in again,
        # with all that a login takes: it is not spared if the account was disabled, or the password
        # changed once more, in the meantime. Its id stays, so that a logout meanwhile counts as well.
        login_at = login_time(session["user_id"], new)
        if login_at is None:
            session.clear()
            abort(401)
        session["login_at"] = login_at
        return {}

    @app.post("/sign-out-everywhere")
    def sign_out_everywhere():
        first_row(END_ALL, session["user_id"])
        session.clear()
        return {}

    @app.cli.command("hash-password")
    def hash_password():
        """Asks for a password, and prints what to put into the table."""
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        click.echo(generate_password_hash(password))

    return app


def texts(*names):
    """Fields of the request's body that PostgreSQL can take: neither a NUL nor half a surrogate pair."""
    body = request.get_json()
    values = [body.get(name) if isinstance(body, dict) else None for name in names]
    for value in values:
        if not isinstance(value, str) or not value or "\0" in value or not is_unicode(value):
            abort(400)
    return values


def is_unicode(value):
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False


if __name__ == "__main__":
    create_app().run()
