"""A small Flask-AppBuilder app that ends sessions as Superset's coming release does: at each request it compares the time of
the login, in the cookie, with a column of the table `user_attribute`. That column is raised by the ORM, and by nothing else
that changes an account."""

import os
from datetime import datetime, timezone

from flask import Flask, session
from flask_appbuilder import AppBuilder, BaseView, Model, expose, has_access
from flask_appbuilder.models.sqla.base import SQLA
from flask_login import current_user, logout_user, user_logged_in
from sqlalchemy import Column, DateTime, ForeignKey, Integer, event, inspect, select
from sqlalchemy.dialects.postgresql import insert


class UserAttribute(Model):
    __tablename__ = "user_attribute"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("ab_user.id"), unique=True)
    created_on = Column(DateTime)
    changed_on = Column(DateTime)
    created_by_fk = Column(Integer, ForeignKey("ab_user.id"))
    changed_by_fk = Column(Integer, ForeignKey("ab_user.id"))
    sessions_invalidated_at = Column(DateTime)


class PrivateView(BaseView):
    route_base = "/private"
    default_view = "page"

    @expose("/")
    @has_access
    def page(self):
        return f"Logged in as {current_user.username}"


def now():
    return datetime.now(timezone.utc)


def remember_login(_app, **_):
    session["_login_at"] = now().timestamp()


def invalidate(_mapper, connection, user):
    if user.active or not inspect(user).attrs.active.history.has_changes():
        return
    times = {"sessions_invalidated_at": now().replace(tzinfo=None)}
    raised = insert(UserAttribute).values(user_id=user.id, **times)
    connection.execute(raised.on_conflict_do_update(index_elements=["user_id"], set_=times))


def create_app():
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"),
        SECRET_KEY=os.environ["SECRET_KEY"],
        FAB_PASSWORD_HASH_METHOD=os.environ["QUICK_HASH"],
    )
    db = SQLA(app)
    with app.app_context():
        appbuilder = AppBuilder(app, db.session)
        appbuilder.add_view(PrivateView, "Private page")
        db.create_all()
        event.listen(appbuilder.sm.user_model, "after_update", invalidate)
    user_logged_in.connect(remember_login, app, weak=False)

    @app.before_request
    def end_invalidated_session():
        if not current_user.is_authenticated:
            return
        of_user = select(UserAttribute.sessions_invalidated_at).filter_by(user_id=current_user.id)
        invalidated_at = db.session.scalar(of_user)
        if invalidated_at is None:
            return
        invalidated_at = invalidated_at.replace(tzinfo=timezone.utc).timestamp()
        if session.get("_login_at", 0) < invalidated_at:
            logout_user()
            session.clear()

    @app.cli.command()
    def add_users():
        users = appbuilder.sm
        for name in ("alice", "bob", "carol"):
            role = users.find_role("Admin")
            assert users.add_user(name, name, name, f"{name}@example.com", role, os.environ["PASSWORD"])

    @app.cli.command()
    def disable_alice():
        users = appbuilder.sm
        users.find_user("alice").active = False
        users.session.commit()

    return app
