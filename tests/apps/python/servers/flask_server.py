"""A Flask app with pages, an API, and a login that is remembered. UNGUARDED leaves the guard out."""

import os

from counting import count_statements
from flask import Flask, abort, get_flashed_messages, redirect, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, get_jwt_identity, jwt_required
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from pg_session_guard.flask import SessionGuard
from pg_session_guard.jwt.flask_jwt_extended import protect_tokens
from receiving import receiver_of
from sqlalchemy import BigInteger, Boolean, Column, Text, select
from werkzeug.security import check_password_hash, generate_password_hash

app = Flask(__name__, static_folder="templates", static_url_path="/static")
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
    SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"connect_timeout": 60}},
    SECRET_KEY=os.environ["SECRET_KEY"],
    SESSION_GUARD_LOCK_TIMEOUT=float(os.environ.get("LOCK_TIMEOUT", 600)),
    SESSION_GUARD_FAIL_OPEN="FAIL_OPEN" in os.environ,
    SESSION_GUARD_USERS=os.environ.get("USERS"),
)
db = SQLAlchemy(app)
manager = LoginManager(app)
manager.login_view = "login"
count_statements(app)


class User(UserMixin, db.Model):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)
    password = Column(Text)
    active = Column(Boolean)

    @property
    def is_active(self):
        return self.active


if "UNGUARDED" in os.environ:
    manager.user_loader(lambda user_id: db.session.get(User, int(user_id)))
else:
    guard = SessionGuard(app, db.session, User)
    app.config.update(JWT_SECRET_KEY=os.environ["SECRET_KEY"], JWT_REFRESH_JSON_KEY="refresh")
    protect_tokens(JWTManager(app), guard)
    if receiver := receiver_of("SELECT id FROM users"):
        from pg_session_guard.receivers.flask import receive_events, receive_logouts

        receive_logouts(app, "/backchannel-logout", receiver)
        receive_events(app, "/security-events", receiver)


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        return " ".join(get_flashed_messages()) + "<form>"
    user = db.session.scalar(select(User).where(User.username == request.form["username"]))
    if user and "UNGUARDED" not in os.environ and not guard.begin_login(user.id):
        abort(401)
    if not user or not check_password_hash(user.password, request.form["password"]):
        abort(401)
    login_user(user, remember="remember" in request.form)
    return redirect("/private") if current_user.is_authenticated else abort(401)


@app.route("/private")
@login_required
def private():
    return f"Logged in as {current_user.username}\n"


@app.route("/api/me")
@login_required
def me():
    return {"name": current_user.username}


@app.route("/open")
def public():
    return "open to all"


@app.post("/password")
@login_required
def password():
    current_user.password = generate_password_hash(request.form["new_password1"], os.environ["QUICK_HASH"])
    begun = guard.start(current_user.id, db.session)
    db.session.commit()
    meanwhile = request.form.get("meanwhile")
    if meanwhile:  # Committed by somebody else.
        with db.engine.begin() as connection:
            connection.exec_driver_sql(meanwhile)
    if "plain" in request.form:
        guard.keep_session()
    else:
        guard.keep_session_at(begun)
    return redirect("/private")


@app.route("/by-orm/<int:active>")
def by_orm(active):
    db.session.scalar(select(User).where(User.username == "alice")).active = bool(active)
    db.session.commit()
    return ""


@app.post("/token")
def token():
    user = db.session.scalar(select(User).where(User.username == request.json["username"]))
    if not check_password_hash(user.password, request.json["password"]):
        abort(401)
    identity = str(user.id)
    return {"access": create_access_token(identity), "refresh": create_refresh_token(identity)}


@app.post("/token/refresh")
@jwt_required(refresh=True, locations=["json"])
def refresh():
    return {"access": create_access_token(get_jwt_identity())}


@app.get("/by-token")
@jwt_required()
def by_token():
    return {"name": db.session.get(User, int(get_jwt_identity())).username}
