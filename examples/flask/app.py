"""A Flask app whose sessions live in the clients' cookies, and end when pg_session_guard says so.

    pip install -r requirements.txt 'pg-session-guard[flask]'
    createuser flask_app && createdb flask_example
    psql -d flask_example -1 -v ON_ERROR_STOP=1 -f schema.sql
    export DATABASE_URL=postgresql+psycopg://flask_app@localhost/flask_example SECRET_KEY=…
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
from flask import Flask, abort, request
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from pg_session_guard.flask import SessionGuard
from sqlalchemy import BigInteger, Column, Text, select, update
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.security import check_password_hash, generate_password_hash

db = SQLAlchemy()
# Compared where there is no such user, so that the comparison takes as long.
NOBODYS_PASSWORD = generate_password_hash(secrets.token_hex())


class User(UserMixin, db.Model):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    name = Column(Text)
    password = Column(Text)  # A hash.


def create_app():
    app = Flask(__name__, static_folder=None)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
        SQLALCHEMY_ENGINE_OPTIONS={"pool_timeout": 5, "connect_args": {"connect_timeout": 5}},
        # A key of its own for each start logs everybody out, and serves one process only.
        SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
        # No other site's page sends the cookie along (Strict). Browsers and curl take http://localhost for secure.
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=True,
        SESSION_GUARD_END_SINGLE_SESSIONS=True,
    )
    db.init_app(app)
    LoginManager(app)
    guard = SessionGuard(app, db.session, User)

    @app.before_request
    def refuse_forms_of_other_pages():
        if request.method not in ("GET", "HEAD") and not request.is_json:
            abort(415)

    @app.errorhandler(HTTPException)
    def as_json(error):
        return {"error": error.name}, error.code

    @app.errorhandler(SQLAlchemyError)
    def try_later(error):
        app.logger.error("no answer from the database", exc_info=error)
        return {"error": "Service Unavailable"}, 503

    @app.post("/login")
    def login():
        name, password = texts("name", "password")
        user = db.session.scalar(select(User).where(User.name == name))
        # Before the hash is read: a password that changes in between ends what begins here.
        may = user is not None and guard.begin_login(user.id)
        if not check_password_hash(user.password if user else NOBODYS_PASSWORD, password) or not may:
            abort(401)
        login_user(user)
        return {} if current_user.is_authenticated else abort(401)

    @app.get("/me")
    @login_required
    def me():
        return {"user_id": current_user.id}

    @app.post("/password")
    @login_required
    def change_password():
        current, new = texts("current", "new")
        old_hash, this_user = current_user.password, User.id == current_user.id
        if not check_password_hash(old_hash, current):
            abort(403)
        change = update(User).where(this_user, User.password == old_hash).values(password=generate_password_hash(new))
        if db.session.execute(change).rowcount != 1:
            abort(409)
        # In the transaction of the change: this session goes on, and what ends sessions later ends it, too.
        begun = guard.start(current_user.id, db.session)
        db.session.commit()
        return {} if guard.keep_session_at(begun) else abort(401)

    @app.post("/logout")
    @login_required
    def logout():
        guard.log_out()
        return {}

    @app.post("/sign-out-everywhere")
    @login_required
    def sign_out_everywhere():
        guard.log_out_everywhere()
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
        if not isinstance(value, str) or value.encode(errors="ignore").decode() != value or "\0" in value or not value:
            abort(400)
    return values
