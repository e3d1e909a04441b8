"""Flask with Flask-Login and SQLAlchemy.

    guard = SessionGuard(app, db.session, User)

It loads the users: one query gives the user, and whether the session counts. A loader of the app's
own is called after it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import flask
from flask import (
    Flask,
    abort,
    flash,
    g,
    jsonify,
    make_response,
    redirect,
    request,
    request_started,
    session,
)
from flask_login import (
    current_user,
    logout_user,
    user_logged_in,
    user_logged_out,
    user_unauthorized,
)
from flask_login.utils import login_url
from sqlalchemy import inspect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from pg_session_guard import sqlalchemy as database
from pg_session_guard.core import login_time
from pg_session_guard.core.answers import (
    NO_STORE,
    Answer,
    RouteKind,
    answer_to,
    challenge,
    is_way_back,
    kind_of_route,
)
from pg_session_guard.core.errors import cannot_ask, is_of_a_lock
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.core.settings import Settings
from pg_session_guard.flask_remember import (
    PRIMARY_KEY_KEY,
    SESSION_ID_KEY,
    RememberedLogins,
    primary_key_of,
)

# The user whose login time the session has. Flask-Login's own logout leaves that time there.
USER_KEY = "guard_user"
# What `g` has of the request: whose session was ended or served, and whose login has begun.
OF_ONE_REQUEST = (
    "session_guard_ended",
    "session_guard_kept",
    "session_guard_unavailable",
    "session_guard_served",
    "session_guard_begun",
    "session_guard_started",
)


class SessionGuard:
    def __init__(
        self, app: Flask | None = None, db_session: Any = None, user_class: type[Any] | None = None
    ) -> None:
        self.db_session = db_session
        self.user_class = user_class
        self._loader: Callable[[str], Any] | None = None
        if app is not None:
            self.init_app(app)

    def init_app(
        self, app: Flask, db_session: Any = None, user_class: type[Any] | None = None
    ) -> None:
        self.db_session = db_session or self.db_session
        self.user_class = user_class or self.user_class
        if self.db_session is None or self.user_class is None:
            raise TypeError(
                "SessionGuard needs the session of SQLAlchemy and the class of the users"
            )
        if not hasattr(self.db_session, "get_bind"):
            raise TypeError(
                "SessionGuard needs a session of SQLAlchemy, such as db.session, and not a"
                f" {type(self.db_session).__name__}"
            )
        if not hasattr(app, "login_manager"):
            raise RuntimeError(
                "Flask-Login comes first: LoginManager(app), then SessionGuard(app, …)"
            )
        self.app = app
        self.login_manager = app.login_manager
        self.settings = database.for_class(Settings.of_config(app.config), self.user_class)
        self.query = database.UserQuery(self.user_class, self.settings)
        self.remembered = RememberedLogins(app)
        app.extensions["session_guard"] = self
        self._take_over_loader()
        request_started.connect(self._at_request, app)
        user_logged_in.connect(self._at_login, app)
        user_logged_out.connect(self._at_logout, app)
        user_unauthorized.connect(self._at_unauthorized, app)
        app.after_request(self._after_request)

    # --- Each request that asks who is logged in ---

    def user_loader(self, loader: Callable[[str], Any]) -> Callable[[str], Any]:
        """For apps that load users in their own way. `session.get` in it makes no query: the user
        is there already. `@login_manager.user_loader` does the same."""
        self._loader = loader
        return loader

    def _take_over_loader(self) -> None:
        """Flask-Login has one loader, which is the guard's. One that the app gives it, before or
        after, is called by the guard: in its place, it would let sessions in that have ended."""
        loader = self.login_manager._user_callback
        guard = _guard_of(loader)  # Of another app, where two of them share a LoginManager.
        self._loader = self._loader or (guard._loader if guard else loader)
        self.login_manager._user_callback = self.load_user
        self.login_manager.user_loader = self.user_loader

    def _at_request(self, app: Flask, **_: Any) -> None:
        """Before anything of the app's own runs."""
        of_request = g._get_current_object()
        for name in OF_ONE_REQUEST:  # A test may have several in one context of its app.
            of_request.pop(name, None)
        if _guard_of(app.login_manager._user_callback) is None:  # type: ignore[attr-defined]
            raise RuntimeError(
                "no session is checked: Flask-Login has another loader than SessionGuard's."
                " Write @guard.user_loader in place of @login_manager.user_loader,"
                " and SessionGuard(app, …) after the last LoginManager(app)"
            )

    def load_user(self, user_id: str) -> Any:
        if session.get(USER_KEY) != str(user_id):
            _forget_login()  # Of another user, who has logged out in this browser.
        kept, session_id = session.get(LOGIN_TIME_KEY), session.get(SESSION_ID_KEY)
        key = primary_key_of(user_id)
        if kept is None:
            kept, session_id, key = self.remembered.login_of(user_id)
        user, answer = self.check(key or user_id, kept, session_id)
        if answer is Answer.SERVE and not self._has_id(user, user_id):
            answer = answer_to(False, kind_of_route(request.headers))
        if answer is Answer.SERVE:
            if kept and LOGIN_TIME_KEY not in session:
                self._keep(kept, session_id, user_id, key)
            loaded = self._loader(user_id) if self._loader else user
            g.session_guard_served = None if loaded is None else str(key or user_id)
            return loaded
        self._session_has_ended()
        return None

    def _has_id(self, user: Any, user_id: str) -> bool:
        """An app whose get_id gives no primary key ends sessions by changing it. And such an id, in
        a session from before the guard, may be the primary key of somebody else. What has no get_id
        is left to the app's own loader."""
        get_id = getattr(user, self.login_manager.id_attribute, None)
        return get_id is None or str(get_id()) == str(user_id)

    def _keep(
        self, login_at: str, session_id: str | None, user_id: str, primary_key: str | None
    ) -> None:
        session[USER_KEY] = str(user_id)
        session[LOGIN_TIME_KEY] = login_at
        if session_id:
            session[SESSION_ID_KEY] = session_id
        if primary_key and primary_key != user_id:
            session[PRIMARY_KEY_KEY] = [user_id, primary_key]

    def check(
        self, user_id: str, kept: str | None, session_id: str | None = None
    ) -> tuple[Any, Answer]:
        """The user, and the answer to a request with a session of that time. Without a database it
        ends in a 503."""
        user, valid = None, None
        try:
            user, valid = self.query.read(
                self.db_session, user_id, login_time.from_text(kept), session_id
            )
        except SQLAlchemyError:
            self._cannot_ask()
            user = self._user_without_guard(user_id)
            valid = None if getattr(user, "is_active", user is not None) else False
        # SQLAlchemy forgets what nobody holds. As long as this does, `session.get` finds the user.
        g.session_guard_user = user
        if valid:
            return user, Answer.SERVE
        kind = kind_of_route(request.headers)
        return user, answer_to(valid, kind, fail_open=self.settings.fail_open)

    def _user_without_guard(self, user_id: str) -> Any:
        return self.db_session.get(self.user_class, self.query.key_type(user_id))

    def _session_has_ended(self) -> None:
        session.clear()
        self.remembered.forget()
        g.session_guard_ended = "cookie"
        if self.settings.message:
            flash(self.settings.message, "warning")

    def _cannot_ask(self) -> None:
        """Refuses the request, unless the app has chosen otherwise. The cookie survives for when it
        can be asked."""
        self.app.logger.exception(cannot_ask(sys.exc_info()[1]))
        self._end_transaction(self.db_session.rollback)
        if not self.settings.fail_open:
            unavailable()

    def _end_transaction(self, end: Callable[[], None]) -> None:
        end()

    # --- What a session that has ended is told ---

    def _at_unauthorized(self, _app: Flask) -> None:
        """Flask-Login is about to refuse. Its own message would say nothing of the session."""
        manager: Any = self.login_manager
        if not g.get("session_guard_ended") or manager.unauthorized_callback:
            return
        if kind_of_route(request.headers) is RouteKind.API:
            abort(make_response(jsonify(error="Unauthorized"), 401))
        view = manager.blueprint_login_views.get(request.blueprint, manager.login_view)
        if view and not self.app.config.get("USE_SESSION_FOR_NEXT"):
            is_back = is_way_back(request.method, request.script_root + request.path)
            abort(redirect(login_url(view, next_url=request.url if is_back else None)))

    def _after_request(self, response: flask.Response) -> flask.Response:
        ended = g.get("session_guard_ended")
        if ended and response.status_code == 401 and "WWW-Authenticate" not in response.headers:
            response.headers["WWW-Authenticate"] = challenge(bearer=ended == "bearer")
        if g.get("session_guard_unavailable") or (ended and response.status_code >= 300):
            response.headers.update(NO_STORE)
        return self.remembered.keep(response)

    @property
    def engine(self) -> Engine:
        """That of the users."""
        # Flask-SQLAlchemy 2's get_bind takes no class, only its mapper.
        engine: Engine = self.db_session.get_bind(inspect(self.user_class))
        return engine

    # --- Logins ---

    def start(self, user_id: object, db: Any = None) -> str | None:
        """The login time to keep, or None for an account that must not log in. `db`: in its
        transaction, for `keep_session_at`."""
        if db is not None:
            return self._start_in_transaction(user_id, db)
        try:
            # It locks the user's row, so it has a transaction of its own. The app may have changed
            # that row in the transaction of the request, which it would wait for: so that ends
            # first, which also hands its connection back to the pool.
            self._end_transaction(self.db_session.commit)
            with self.engine.begin() as connection:
                return database.start(connection, user_id, self.settings)
        except SQLAlchemyError as error:
            self._cannot_ask()
            if is_of_a_lock(error):
                unavailable()
            return login_time.to_text(login_time.now())

    def _start_in_transaction(self, user_id: object, db: Any) -> str | None:
        if hasattr(db, "flush"):  # Its errors are the app's own.
            db.flush()
        try:
            return database.start_in_transaction(db, user_id, self.settings)
        except SQLAlchemyError:
            self._cannot_ask()
            unavailable()  # Also with fail_open: the app's own change is undone.

    def begin_login(self, user_id: object) -> bool:
        """To call before the password's hash is read, where a new password ends sessions: so one
        that changes in between ends this login. It takes the place of what would be asked at
        login_user. False: no login."""
        started = self.start(user_id)
        self.continue_login(user_id, started)
        return started is not None

    def continue_login(self, user_id: object, begun: str | None) -> None:
        """To call before login_user in a login of several requests, such as with a one-time code.
        `begun` is what `start(user_id)` gave in the first, before the password's hash was read; the
        app has kept it in the session. What has ended sessions since then ends this login."""
        g.session_guard_begun = (str(user_id), begun)

    def has_begun(self, user_id: object) -> bool:
        begun_by, _ = g.get("session_guard_begun", (None, None))
        return bool(begun_by == str(user_id))

    def _at_login(self, _app: Flask, user: Any) -> None:
        session[LOGIN_TIME_KEY] = None
        try:
            key = getattr(user, self.query.key_name)
            login_at = self._login_time_of(key)
            if login_at:
                session_id = secrets.token_urlsafe() if self.settings.end_single_sessions else None
                self._keep(login_at, session_id, str(session["_user_id"]), str(key))
                g.session_guard_served = str(key)
        finally:  # Also after an error: by now, Flask-Login has put the user into the session.
            if session[LOGIN_TIME_KEY] is None:
                session.clear()
                logout_user()  # Comes last: its note in the session deletes a remember-me cookie.

    def _login_time_of(self, user_id: object) -> str | None:
        if not self.has_begun(user_id):
            return self.start(user_id)
        _, begun = g.pop("session_guard_begun")
        if begun and self.check(str(user_id), begun)[1] is Answer.SERVE:
            return str(begun)
        return None

    def time_of_session(self, user_id: object) -> str | None:
        """What a token is as old as that the app makes of this user's session. None: this request
        has no such session that counts."""
        if g.get("session_guard_served") != str(user_id):
            return None
        # A session from before the guard has no time, and its token must not have a later one.
        return session.get(LOGIN_TIME_KEY) or login_time.to_text(login_time.LONG_AGO)

    # --- What an app calls ---

    def keep_session(self) -> bool:
        """After a change of the own password, once it is committed: it has ended all sessions of
        the user, and this one begins anew. It ends, and False comes back, where the account must
        not log in any more. It outlives whatever else has ended sessions since that COMMIT: see
        `keep_session_at`."""
        return self.keep_session_at(self.start(self._current_key()))

    def keep_session_at(self, begun: str | None) -> bool:
        """The same of a time that `start(user_id, db.session)` gave in the transaction of the
        change, after the change. The user's row is locked until COMMIT, so whatever ends sessions
        later ends this one, too."""
        key, single = self._current_key(), session.get(SESSION_ID_KEY)
        is_nobody = key is None or begun is None
        if is_nobody or self.check(str(key), begun, single)[1] is not Answer.SERVE:
            session.clear()
            logout_user()
            return False
        # One from before the guard has nothing of this yet.
        self._keep(str(begun), single, str(session.get("_user_id")), str(key))
        g.session_guard_kept = True
        # Of Flask-Session, whose sessions are in a store: a copy of the cookie must not go on.
        regenerate = getattr(self.app.session_interface, "regenerate", None)
        if regenerate:
            regenerate(session)
        return True

    def log_out(self) -> None:
        """Ends this session, and each copy of its cookie; with
        SESSION_GUARD_END_SINGLE_SESSIONS. As logout_user does, but after an error the user is still
        logged in, and can try again."""
        if self.settings.end_single_sessions:
            _ = current_user.is_authenticated  # Takes what is remembered into the session.
        self._end_this_session()
        logout_user()

    def _at_logout(self, _app: Flask, **_: Any) -> None:
        """By whatever page. Flask-Login has read the user, so what was remembered is in the
        session. After an error the session's id is still there, for another logout."""
        self._end_this_session()

    def _end_this_session(self) -> None:
        session_id = session.get(SESSION_ID_KEY)
        if session_id:
            self._change(lambda connection: database.end_session(connection, session_id))
        _forget_login()

    def log_out_everywhere(self) -> None:
        """Ends all sessions of the user who is logged in."""
        user_id = self._current_key()
        if user_id is not None:
            self._change(lambda db: database.end_all_sessions(db, user_id, self.settings))
        _forget_login()
        logout_user()

    def _current_key(self) -> Any:
        """None: nobody is logged in, or not any more."""
        return getattr(current_user, self.query.key_name, None)

    def _change(self, change: Callable[[Any], None]) -> None:
        try:
            self._end_transaction(self.db_session.commit)
            with self.engine.begin() as connection:
                change(connection)
        except SQLAlchemyError:
            self.app.logger.exception("cannot end sessions by pg_session_guard")
            unavailable()


def _forget_login() -> None:
    g.pop("session_guard_served", None)
    for key in (LOGIN_TIME_KEY, SESSION_ID_KEY, PRIMARY_KEY_KEY, USER_KEY):
        session.pop(key, None)


def _guard_of(loader: Any) -> SessionGuard | None:
    guard = getattr(loader, "__self__", None)
    return guard if isinstance(guard, SessionGuard) else None


def unavailable() -> NoReturn:
    """The app's own page for 503, or JSON for a program."""
    g.session_guard_unavailable = True
    if kind_of_route(request.headers) is RouteKind.HTML:
        abort(503)
    abort(make_response(jsonify(error="Service Unavailable"), 503))
