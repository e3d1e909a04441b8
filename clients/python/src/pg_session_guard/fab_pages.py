"""Pages of Flask-AppBuilder where sessions are ended, Security → Sessions, and the same by REST.

    add_session_pages(appbuilder)        after SessionGuard(app, appbuilder)

Who may: the permissions `can_read` and `can_end_sessions` on `SessionGuard`, which FAB's Admin has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from flask import abort, current_app, flash, redirect, request, url_for
from flask_appbuilder import BaseView, expose, has_access
from flask_appbuilder.api import BaseApi, safe
from flask_appbuilder.security.decorators import permission_name, protect
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import StringField

from pg_session_guard.core.administration import KINDS, LONGEST_NOTE, PERIODS, Busy, Filter, Problem
from pg_session_guard.fab_sessions import PAGE_SIZE, Sessions

Method = TypeVar("Method", bound=Callable[..., Any])
PERMISSIONS = "SessionGuard"
MENU = "Sessions"
ARGUMENTS = ("q", "guard", "kind", "period", "user", "after")
BUSY = "Nothing was ended: somebody is changing one of the accounts. Try again."


def add_session_pages(appbuilder: Any) -> None:
    guard = current_app.extensions.get("session_guard")
    if guard is None:
        raise RuntimeError("SessionGuard(app, appbuilder) comes first")
    manager = appbuilder.sm
    admin_only = getattr(manager, "ADMIN_ONLY_VIEW_MENUS", None)
    if admin_only is not None:
        # Superset gives what is not among these to its roles Alpha and Gamma, too.
        manager.ADMIN_ONLY_VIEW_MENUS = admin_only | {PERMISSIONS, MENU}
    sessions = Sessions(guard)
    view, api = SessionsView(), SessionsApi()
    view.sessions = api.sessions = sessions
    appbuilder.add_view(view, MENU, icon="fa-key", category="Security")
    appbuilder.add_api(api)


class Guarded:
    """Both have all permissions: FAB deletes those of a name that one of its views does not
    have."""

    class_permission_name = PERMISSIONS
    base_permissions = ("can_read", "can_end_sessions")
    sessions: Sessions

    def may(self: Any, permission: str) -> bool:
        allowed: bool = self.appbuilder.sm.has_access(f"can_{permission}", PERMISSIONS)
        return allowed

    def administrator(self: Any) -> Any:
        """Nobody, where a role of FAB's lets in who is not logged in: the record needs a name."""
        try:
            user = self.appbuilder.sm.current_user
        except RuntimeError:  # Of flask_jwt_extended: there is no token either.
            user = None
        return user or None


def _page(url: str, permission: str = "read", *methods: str) -> Callable[[Method], Method]:
    def wrap(method: Method) -> Method:
        guarded: Method = has_access(permission_name(permission)(method))

        @wraps(guarded)
        def strict(self: Any, *arguments: Any, **named: Any) -> Any:
            """FAB 4 leads to the login page also who is logged in."""
            if current_user.is_authenticated and not self.may(permission):
                abort(403)
            return guarded(self, *arguments, **named)

        exposed: Method = expose(url, methods or ("GET",))(strict)
        return exposed

    return wrap


def _endpoint(url: str, permission: str, *methods: str) -> Callable[[Method], Method]:
    def wrap(method: Method) -> Method:
        guarded: Method = protect()(safe(permission_name(permission)(method)))
        exposed: Method = expose(url, methods)(guarded)
        return exposed

    return wrap


class SessionsView(Guarded, BaseView):  # type: ignore[misc]
    route_base = "/session_guard"
    default_view = "users"
    template_folder = str(Path(__file__).parent / "fab_templates")

    @_page("/")
    def users(self) -> Any:
        part, after = _given("q"), request.args.get("after")
        problem = self.sessions.rights().see
        if problem:
            return self._shown("users", problem)
        shown, more = self.sessions.users(part, after)
        following = self._this_page(after=shown[-1].name) if more else None
        first = self._this_page(after=None) if after else None
        return self._shown("users", users=shown, q=part, following=following, first=first)

    @_page("/users/<user_id>/")
    def user(self, user_id: str) -> Any:
        problem = self.sessions.rights().see
        if problem:
            return self._shown("user", problem)
        user = self.sessions.user(user_id) or abort(404)
        events, more = self.sessions.history(user_id)
        return self._shown("user", user=user, events=events, more=more)

    @_page("/end/", "end_sessions", "GET", "POST")
    def end(self) -> Any:
        """Asks by GET, and does it by POST."""
        administrator = self.administrator() or abort(403)
        problem = self.sessions.rights().end
        if problem:
            return self._shown("end", problem)
        ids = list(dict.fromkeys(request.values.getlist("id")))[:PAGE_SIZE]
        users = self.sessions.users_by_id(ids)
        if not users:
            flash("Select the users whose sessions shall end.", "warning")
            return redirect(url_for("SessionsView.users"))
        form = EndSessions()
        if form.validate_on_submit():
            self._end(list(users), administrator.username, form.note.data or "")
            return redirect(url_for("SessionsView.users"))
        own = str(administrator.get_id()) in users
        shown = self._shown("end", users=users, own=own, form=form, longest_note=LONGEST_NOTE)
        return shown, 400 if form.errors else 200

    def _end(self, ids: list[str], administrator: str, note: str) -> None:
        try:
            count = self.sessions.end(ids, administrator, note)
        except Busy:
            flash(BUSY, "danger")
            return
        # A number alone: some versions of FAB show what is flashed as HTML.
        whose = "1 user" if count == 1 else f"{count} users"
        flash(f"All sessions of {whose} have ended.", "success")

    @_page("/record/")
    def record(self) -> Any:
        problem = self.sessions.rights().see
        if problem:
            return self._shown("record", problem)
        of_user, after = _given("user"), request.args.get("after")
        chosen = Filter(
            _given("guard"),
            _given("kind"),
            _given("period"),
            self.sessions.id_of(of_user) if of_user else None,
            after,
        )
        events, more = self.sessions.record(chosen)
        guards, ours = self.sessions.guards()
        names = self.sessions.names_of(events, ours)
        following = self._this_page(after=events[-1].place) if more else None
        return self._shown(
            "record",
            events=events,
            names=names,
            ours=ours,
            guards=guards,
            kinds=KINDS,
            periods=PERIODS,
            chosen=chosen,
            of_user=of_user,
            following=following,
            first=self._this_page(after=None) if after else None,
        )

    @_page("/findings/")
    def findings(self) -> Any:
        problem = self.sessions.rights().health
        found = [] if problem else self.sessions.findings()
        return self._shown("findings", problem, found=found)

    def _shown(self, name: str, problem: Problem | None = None, **context: Any) -> Any:
        context |= {"page": name, "problem": problem, "time": _time}
        context["may_end"] = self.may("end_sessions")
        template = "problem" if problem else name
        return self.render_template(f"session_guard/{template}.html", **context)

    def _this_page(self, **changed: str | None) -> str:
        """Of the arguments, the pages' own alone: url_for takes some others for its options."""
        given = {**{name: request.args.get(name) for name in ARGUMENTS}, **changed}
        values: Any = {name: value for name, value in given.items() if value is not None}
        return url_for(request.endpoint or "", **values)


class EndSessions(FlaskForm):  # type: ignore[misc]
    note = StringField()


class SessionsApi(Guarded, BaseApi):  # type: ignore[misc]
    """By a bearer token, as FAB's own: so no other site can have a browser call it."""

    resource_name = "session_guard"

    @_endpoint("/users/<user_id>/sessions", "end_sessions", "DELETE")
    def end(self, user_id: str) -> Any:
        """Ends all sessions of a user.
        ---
        delete:
          description: Ends all sessions and tokens of a user
          parameters:
          - in: path
            name: user_id
            required: true
            schema:
              type: string
          - in: query
            name: reason
            schema:
              type: string
          responses:
            200:
              description: They have ended
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            404:
              $ref: '#/components/responses/404'
            500:
              $ref: '#/components/responses/500'
            503:
              description: Somebody is changing the account
        """
        user = self.administrator()
        if user is None:
            return self.response_403()
        problem = self.sessions.rights().end
        if problem:
            return self.response_500(message=" ".join((problem.message, *problem.statements)))
        try:
            count = self.sessions.end([user_id], user.username, request.args.get("reason", ""))
        except Busy:
            response = self.response(503, message=BUSY)
            response.headers["Retry-After"] = "1"
            return response
        return self.response(200, message="OK") if count else self.response_404()


def _given(name: str) -> str | None:
    """PostgreSQL has no text with a NUL."""
    return request.args.get(name, "").strip().replace("\0", "") or None


def _time(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"
