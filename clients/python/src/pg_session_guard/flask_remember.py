"""Remember-me cookies of Flask-Login hold no login time, so one more cookie beside them does."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from flask import Flask, Response, current_app, g, request, session
from flask_login.config import COOKIE_DURATION, COOKIE_HTTPONLY, COOKIE_NAME, COOKIE_SECURE
from flask_login.utils import decode_cookie, encode_cookie

from pg_session_guard.core.login_time import LOGIN_TIME_KEY

SESSION_ID_KEY = "guard_session"
# Where the app's get_id gives something else than the primary key: both, so that it counts for this
# user alone.
PRIMARY_KEY_KEY = "guard_primary_key"


class RememberedLogin(NamedTuple):
    login_at: str | None = None
    session_id: str | None = None
    primary_key: str | None = None


class RememberedLogins:
    def __init__(self, app: Flask) -> None:
        self.config = app.config

    @property
    def flask_logins(self) -> str:
        """The name of Flask-Login's own cookie."""
        return str(self.config.get("REMEMBER_COOKIE_NAME", COOKIE_NAME))

    @property
    def name(self) -> str:
        return f"{self.flask_logins}_guard"

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the cookie beside it."""
        return {
            "domain": self.config.get("REMEMBER_COOKIE_DOMAIN"),
            "path": self.config.get("REMEMBER_COOKIE_PATH", "/"),
            "secure": self.config.get("REMEMBER_COOKIE_SECURE", COOKIE_SECURE),
            "httponly": self.config.get("REMEMBER_COOKIE_HTTPONLY", COOKIE_HTTPONLY),
            "samesite": self.config.get("REMEMBER_COOKIE_SAMESITE"),
        }

    def login_of(self, user_id: str) -> RememberedLogin:
        """What is remembered of the login, if it is this user's."""
        kept = _decode(self.name, _key()) or ""
        login_at, session_id, key, remembered = [*kept.split(" ", 3), "", "", ""][:4]
        if not login_at or remembered != user_id:
            return RememberedLogin()
        return RememberedLogin(login_at, session_id or None, unquote(key) or None)

    def _is_remembered(self, user_id: str | None) -> bool:
        return _decode(self.flask_logins) == user_id

    def forget(self) -> None:
        """As Flask-Login's own logout does."""
        if self.flask_logins in request.cookies:
            session["_remember"] = "clear"

    def keep(self, response: Response) -> Response:
        """Comes before Flask-Login's own, which takes its note out of the session."""
        note = session.get("_remember")
        if (
            not note
            and g.get("session_guard_kept")
            and self._is_remembered(session.get("_user_id"))
        ):
            note = "set"  # With the new time, and without another term of Flask-Login's own.
        if not note and self.config.get("REMEMBER_COOKIE_REFRESH_EACH_REQUEST"):
            note = "set"
        if not note:
            return response
        login_at, user_id = session.get(LOGIN_TIME_KEY), session.get("_user_id")
        if note == "set" and login_at and user_id:
            seconds = session.get("_remember_seconds")
            duration = (
                seconds
                if seconds is not None
                else self.config.get("REMEMBER_COOKIE_DURATION", COOKIE_DURATION)
            )
            key = quote(primary_key_of(user_id) or "", safe="")
            lasts = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
            response.set_cookie(
                self.name,
                encode_cookie(
                    f"{login_at} {session.get(SESSION_ID_KEY) or ''} {key} {user_id}", _key()
                ),
                expires=datetime.now(timezone.utc) + lasts,
                **self.attributes,
            )
        elif note == "clear" and self.name in request.cookies:
            response.delete_cookie(
                self.name, domain=self.attributes["domain"], path=self.attributes["path"]
            )
        return response


def _decode(name: str, key: Any = None) -> str | None:
    """What a cookie holds, if we or Flask-Login have signed it. For what is not ASCII Flask-Login
    raises an error."""
    cookie = request.cookies.get(name, "|")
    decoded: str | None = decode_cookie(cookie, key) if cookie.isascii() else None
    return decoded


def _key() -> Any:
    """Of this cookie alone: what Flask-Login has signed, such as a name that a user has chosen,
    must not be taken for a login time, nor this for an id."""
    secret = current_app.config["SECRET_KEY"]
    secret = secret.encode("latin1") if isinstance(secret, str) else secret
    return hmac.digest(secret, b"pg_session_guard remember", "sha512")


def primary_key_of(user_id: str) -> str | None:
    """That the session has kept, beside what get_id gave."""
    kept_id, key = session.get(PRIMARY_KEY_KEY) or (None, None)
    return str(key) if kept_id == str(user_id) and key is not None else None
